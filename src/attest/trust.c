/* SPDX-License-Identifier: Apache-2.0 */
#include "attest/trust.h"

#include "base/err.h"

const char *const trust_names[] = {[TRUST_NONE] = "none",
                                   [TRUST_SELF_SIGNED] = "self_signed",
                                   [TRUST_HARDWARE_VIRTUAL] = "hardware_virtual",
                                   [TRUST_HARDWARE] = "hardware",
                                   NULL};

static const struct {
    const char *code, *help;
} reasons[] = {
#define TRUST_REASON_ROW(name, code, help) [TRUST_REASON_##name] = {code, help},
    TRUST_REASON_TABLE(TRUST_REASON_ROW)
#undef TRUST_REASON_ROW
};

const char *trust_name(enum trust_level level)
{
    return trust_names[level];
}

int trust_parse(struct str s, enum trust_level *ret_level)
{
    for (size_t i = 0; trust_names[i]; i++) {
        if (str_is(s, trust_names[i])) {
            *ret_level = (enum trust_level)i;
            return 0;
        }
    }
    return ERR_RANGE;
}

const char *trust_reason_code(enum trust_reason reason)
{
    return reasons[reason].code;
}

int trust_reason_parse(struct str code, enum trust_reason *ret_reason)
{
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
        if (str_is(code, reasons[i].code)) {
            *ret_reason = (enum trust_reason)i;
            return 0;
        }
    }
    return ERR_RANGE;
}

const char *trust_reason_help(enum trust_reason reason)
{
    return reasons[reason].help;
}
