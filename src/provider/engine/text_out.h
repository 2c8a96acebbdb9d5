/* SPDX-License-Identifier: Apache-2.0 */
/* From tokens' bytes to text that may leave: whole UTF-8 characters, and nothing that could still
 * turn out to be the beginning of a stop string. */
#ifndef DARKBLOOM_PROVIDER_ENGINE_TEXT_OUT_H
#define DARKBLOOM_PROVIDER_ENGINE_TEXT_OUT_H

#include "base/buf.h"

enum { TEXT_OUT_MAX_BYTES = 64 << 10 };

struct text_out {
    struct buf held;         /* bytes that have not left */
    const struct str *stops; /* borrowed */
    size_t n_stops;
    int64_t tokens; /* that the held bytes stand for */
    bool stopped;   /* a stop string was met; it and what follows is cut */
};

void text_out_init(struct text_out *t, const struct str *stops, size_t n_stops);
void text_out_free(struct text_out *t);

/* Add one token's bytes. 0, ERR_LIMIT or ERR_NOMEM; afterwards look at `stopped`. */
int text_out_add(struct text_out *t, struct str bytes);

/* The text that may leave now (may be empty). At the end (`all`) everything, an incomplete
 * character as U+FFFD. Valid until the next call; take it with text_out_taken. */
struct str text_out_ready(struct text_out *t, bool all);
/* Its first `n` bytes have left. Returns the tokens added since text left last, 0 where n is 0. */
int64_t text_out_taken(struct text_out *t, size_t n);

#endif
