/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *err_str(int code)
{
    static const struct {
        int code;
        const char *text;
    } table[] = {
#define ERR_ROW(name, number, words) {-(number), words},
        ERR_TABLE(ERR_ROW)
#undef ERR_ROW
    };

    if (code == 0)
        return "success";
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (table[i].code == code)
            return table[i].text;
    }
    return "unknown error";
}

__attribute__((format(printf, 3, 0))) static void set(struct err *ret_err, int code,
                                                      const char *fmt, va_list ap)
{
    if (!ret_err)
        return;
    ret_err->code = code;
    vsnprintf(ret_err->text, sizeof ret_err->text, fmt, ap);
}

int err_set(struct err *ret_err, int code, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    set(ret_err, code, fmt, ap);
    va_end(ap);
    return code;
}

int err_errno(struct err *ret_err, int code, int errno_value, const char *fmt, ...)
{
    char words[128];
    va_list ap;
    size_t n;

    va_start(ap, fmt);
    set(ret_err, code, fmt, ap);
    va_end(ap);
    if (ret_err) {
        n = strlen(ret_err->text);
        snprintf(ret_err->text + n, sizeof ret_err->text - n, ": %s",
                 strerror_r(errno_value, words, sizeof words));
    }
    return code;
}
