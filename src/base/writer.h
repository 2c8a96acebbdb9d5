/* SPDX-License-Identifier: Apache-2.0 */
/* A sticky-error writer into a struct buf: the first failure is kept and everything after it writes
 * nothing, so that code which builds a text is a straight line and asks once, at the end:
 *
 *     struct writer w = {.out = &body};
 *
 *     writer_lit(&w, "{\"status\":");
 *     writer_keep(&w, json_append_str(w.out, status));
 *     writer_printf(&w, ",\"n\":%d}", n);
 *     return w.rc;
 *
 * What was written before the failure stays in the buffer. Not thread-safe. */
#ifndef DARKBLOOM_BASE_WRITER_H
#define DARKBLOOM_BASE_WRITER_H

#include "base/buf.h"

struct writer {
    struct buf *out;
    int rc; /* 0, or the first failure: ERR_LIMIT, ERR_NOMEM or what writer_keep was given */
};

void writer_str(struct writer *w, struct str s);
void writer_char(struct writer *w, char c);
void writer_i64(struct writer *w, int64_t v);
/* `v` divided by 10 to the power of `decimals` (0 … 18), exactly: no trailing zeros, no exponent.
 * writer_decimal(&w, 1500, 3) writes 1.5. */
void writer_decimal(struct writer *w, int64_t v, int decimals);
void writer_printf(struct writer *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The result of a function that appends to w->out itself. It must not be called after a failure
 * for its effect; its result is ignored then. */
static inline void writer_keep(struct writer *w, int rc)
{
    if (w->rc == 0 && rc < 0)
        w->rc = rc;
}

#define writer_lit(w, literal) writer_str((w), STR(literal))

#endif
