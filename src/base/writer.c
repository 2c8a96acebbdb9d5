/* SPDX-License-Identifier: Apache-2.0 */
#include "base/writer.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/check.h"
#include "base/err.h"

enum { TEXT_MAX_BYTES = 1024, NUMBER_BYTES = 24, DECIMALS_MAX = 18 };

void writer_str(struct writer *w, struct str s)
{
    if (w->rc == 0)
        w->rc = buf_append_str(w->out, s);
}

void writer_char(struct writer *w, char c)
{
    writer_str(w, (struct str){&c, 1});
}

void writer_i64(struct writer *w, int64_t v)
{
    char text[NUMBER_BYTES];
    int n = snprintf(text, sizeof text, "%" PRId64, v);

    writer_str(w, (struct str){text, (size_t)n});
}

void writer_decimal(struct writer *w, int64_t v, int decimals)
{
    uint64_t size = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    uint64_t unit = 1;
    char text[2 * NUMBER_BYTES];
    int n;

    CHECK(decimals >= 0 && decimals <= DECIMALS_MAX);
    for (int i = 0; i < decimals; i++)
        unit *= 10;
    n = snprintf(text, sizeof text, "%s%" PRIu64, v < 0 ? "-" : "", size / unit);
    if (size % unit > 0) {
        n += snprintf(text + n, sizeof text - (size_t)n, ".%0*" PRIu64, decimals, size % unit);
        while (text[n - 1] == '0')
            n--;
    }
    writer_str(w, (struct str){text, (size_t)n});
}

void writer_printf(struct writer *w, const char *fmt, ...)
{
    char text[TEXT_MAX_BYTES];
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (n < 0 || n >= TEXT_MAX_BYTES)
        writer_keep(w, n < 0 ? ERR_INTERNAL : ERR_LIMIT);
    else
        writer_str(w, (struct str){text, (size_t)n});
}
