/* SPDX-License-Identifier: Apache-2.0 */
/* Amounts of money as people write them: decimal USD, exactly. */
#include "coordinator/command/usd.h"

#include <stdio.h>

#include "base/err.h"

enum { PLACES = 6, MICRO = 1000000 };

/* Digits and nothing else; `scale` more places are filled with zeros. */
static int usd_digits(struct str s, size_t scale, int64_t *ret_value)
{
    int64_t value = 0;

    for (size_t i = 0; i < s.n + scale; i++) {
        int digit = i < s.n ? s.p[i] - '0' : 0;

        if (digit < 0 || digit > 9)
            return ERR_PARSE;
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, digit, &value))
            return ERR_RANGE;
    }
    *ret_value = value;
    return 0;
}

int usd_parse(struct str text, int64_t *ret_micro_usd)
{
    const char *dot = text.n ? memchr(text.p, '.', text.n) : NULL;
    struct str whole = {text.p, dot ? (size_t)(dot - text.p) : text.n};
    struct str places = {dot ? dot + 1 : NULL, dot ? text.n - whole.n - 1 : 0};
    int64_t usd, micro = 0, sum;
    int rc;

    if (whole.n == 0 || (dot && places.n == 0) || places.n > PLACES)
        return ERR_PARSE;
    rc = usd_digits(whole, PLACES, &usd);
    if (rc == 0)
        rc = usd_digits(places, PLACES - places.n, &micro);
    if (rc < 0)
        return rc;
    if (__builtin_add_overflow(usd, micro, &sum))
        return ERR_RANGE;
    *ret_micro_usd = sum;
    return 0;
}

void usd_format(int64_t micro_usd, char ret_text[static USD_TEXT_BYTES])
{
    uint64_t magnitude = micro_usd < 0 ? 0 - (uint64_t)micro_usd : (uint64_t)micro_usd;

    snprintf(ret_text, USD_TEXT_BYTES, "%s%llu.%06llu", micro_usd < 0 ? "-" : "",
             (unsigned long long)(magnitude / MICRO), (unsigned long long)(magnitude % MICRO));
}
