/* SPDX-License-Identifier: Apache-2.0 */
/* A job's answer as it grows: content, reasoning and tool calls in the order in which they came,
 * how much of it has left, and the entries of logprobs. Holds plaintext: wiped when freed. */
#ifndef DARKBLOOM_PROVIDER_SERVE_PARTS_H
#define DARKBLOOM_PROVIDER_SERVE_PARTS_H

#include "base/buf.h"
#include "proto/chunk.h"
#include "provider/engine/engine_port.h"

enum {
    PARTS_MAX_CALLS = 64,               /* a coordinator's whole answer holds no more */
    PARTS_MAX = 1024,                   /* changes between content, reasoning and calls */
    PARTS_TEXT_MAX_BYTES = 4 << 20,     /* over what a context of a million tokens holds */
    PARTS_LOGPROBS_MAX_BYTES = 16 << 20 /* of JSON */
};

struct part {
    enum engine_channel channel; /* all but LOGPROBS */
    int32_t call;
    size_t begin, end; /* in the text */
};

struct parts {
    struct buf text;     /* all parts, one behind the other: what is signed */
    struct buf logprobs; /* entries with commas between them */
    struct part *items;
    size_t n, cap;
    size_t next, sent_bytes;              /* the first part that has unsent text, from where */
    size_t logprobs_whole, logprobs_sent; /* bytes of whole entries; bytes that have left */
};

void parts_init(struct parts *p);
void parts_free(struct parts *p); /* wipes; leaves it as parts_init does */

/* The text of an event. 0, ERR_LIMIT, ERR_NOMEM. */
int parts_add(struct parts *p, const struct engine_event *e);

/* The next unsent piece, with the logprobs that have gathered; false: there is none. It counts as
 * sent. The texts live until the next parts_add. */
bool parts_take(struct parts *p, struct chunk_delta *ret_delta);

/* At the end: the logprobs of tokens that left no text. */
struct str parts_take_logprobs(struct parts *p);

/* The answer as one message: texts and calls in `work`, which the caller wipes and frees, and
 * `calls`. 0, ERR_LIMIT, ERR_NOMEM. */
int parts_join(const struct parts *p, struct buf *work, struct chunk_call calls[PARTS_MAX_CALLS],
               struct chunk_message *ret_message);

#endif
