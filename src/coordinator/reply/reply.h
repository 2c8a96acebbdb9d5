/* SPDX-License-Identifier: Apache-2.0 */
/* How an answer is written to its consumer. The relay writes content that it need not understand
 * to a reply; each API form implements one (chat streamed, chat whole). */
#ifndef DARKBLOOM_COORDINATOR_REPLY_REPLY_H
#define DARKBLOOM_COORDINATOR_REPLY_REPLY_H

#include "base/arena.h"
#include "proto/api_error.h"
#include "proto/chunk.h"

struct request;

/* What the stream has handed over by which byte: to know how many tokens the consumer's socket has
 * taken. Once half are waiting they are spaced, one each 16 KiB of what may wait at most, so that a
 * count is late by at most that, never early. */
enum { REPLY_MARKS = 128 };
struct reply_mark {
    uint64_t end_offset; /* of the connection's output */
    int64_t tokens;      /* relayed up to here */
};

struct reply_state {
    struct reply_mark marks[REPLY_MARKS];
    size_t first_mark, n_marks;
    int64_t taken_tokens;
    bool role_sent;
    struct str id; /* of the first chunk, in the region */
    int64_t created_s;
    struct chunk_join *join;
    struct buf text;      /* scratch for what is rewritten */
    struct arena rewrite; /* of one chunk: used again for the next */
};

struct reply_ops {
    /* The first content is about to leave: send the head (streams). */
    void (*head)(struct request *r);
    /* One chunk of content. 0, ERR_LIMIT: the consumer's queue is full, or ERR_PARSE: the chunk
     * cannot be made part of the answer. */
    int (*chunk)(struct request *r, const struct chunk_info *info);
    /* Nothing has come for a while: a comment that keeps proxies from closing. May be NULL. */
    void (*comment)(struct request *r);
    /* The request failed: an error answer, or an error event when the head has left. */
    void (*error)(struct request *r, const struct api_error *e);
    /* The answer is complete: usage, receipt, end. */
    void (*end)(struct request *r);
    /* Tokens the consumer's socket has taken. */
    int64_t (*delivered)(struct request *r);
};

extern const struct reply_ops reply_chat_stream; /* chat_stream.c */
extern const struct reply_ops reply_chat_whole;  /* chat_whole.c */

/* --- shared by the forms (receipt.c) --- */

/* X-Timing's JSON: {"parse_us":…,"reserve_us":…,…}. */
int reply_timing_append(const struct request *r, struct buf *out);
/* "receipt":{…} with "se_signature" and "response_hash" beside it where the provider sent them. */
int reply_receipt_append(const struct request *r, struct buf *out);

/* Response headers. Values live in the request's region; `ret_headers` holds REPLY_MAX_HEADERS. */
struct http_header;
struct settings;
enum { REPLY_MAX_HEADERS = 24 };
/* CORS, the content type and the trace id: every answer has them. Returns how many. */
size_t reply_common_headers(const struct settings *s, struct str content_type, struct str trace_id,
                            struct http_header *ret_headers);
/* As before, with the trust headers and X-Timing of the provider that serves. */
size_t reply_headers(struct request *r, struct str content_type, struct http_header *ret_headers);

/* The error answer of a request that has not begun a stream; ends the exchange. */
void reply_error_json(struct request *r, const struct api_error *e);

void reply_state_free(struct reply_state *s);

#endif
