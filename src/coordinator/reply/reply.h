/* SPDX-License-Identifier: Apache-2.0 */
/* How an answer is written to its consumer. The request path fills a struct reply and calls its
 * form; a form knows nothing of requests, stages or money. Each API form implements one (chat
 * streamed, chat whole). Belongs to the loop's thread. */
#ifndef DARKBLOOM_COORDINATOR_REPLY_REPLY_H
#define DARKBLOOM_COORDINATOR_REPLY_REPLY_H

#include "attest/trust.h"
#include "base/arena.h"
#include "base/rand.h"
#include "proto/api_error.h"
#include "proto/chunk.h"

struct coord;
struct http_exchange;
struct http_header;
struct reply;
struct settings;

enum {
    REPLY_MAX_HEADERS = 24,
    REPLY_QUEUE_BYTES =
        1 << 20, /* unread by a consumer that is behind; beyond it the stream is cut */
    REPLY_MAX_BYTES = 32 << 20, /* of anything that is put together for one answer */
    /* Marks of what the stream has handed over by which byte: to know how many tokens the
     * consumer's socket has taken. Once half are waiting they are spaced, one each 16 KiB of what
     * may wait at most, so that a count is late by at most that, never early. */
    REPLY_MARKS = 128
};

/* What has been handed to the consumer's connection. */
enum reply_state {
    REPLY_NOTHING,
    REPLY_HEAD,    /* a stream's head, and comments */
    REPLY_CONTENT, /* from here on the provider that serves is the one that answers */
    REPLY_ENDED    /* the response is complete, or the consumer is gone: `x` is NULL */
};

struct reply_mark {
    uint64_t end_offset; /* of the connection's output */
    int64_t tokens;      /* relayed up to here */
};

/* Who serves, copied: it may be gone when the answer ends. */
struct reply_source {
    char provider_id[RAND_UUID_BYTES]; /* "": nobody yet */
    char wire_id[RAND_UUID_BYTES];
    enum trust_level trust;
    bool attested, secure_enclave;
    struct str chip, machine, signing_key; /* in the region; .p NULL: unknown */
};

/* Where the time went, in µs; 0: not known. X-Timing and the receipt show them. */
struct reply_timing {
    int64_t parse_us, reserve_us, route_us, queue_us, encrypt_us, dispatch_us, provider_us;
};

/* What an answer ends with. */
struct reply_bill {
    int64_t cost_micro_usd, prompt_tokens, completion_tokens;
    struct str se_signature, response_hash; /* in the region; .n 0: the provider sent none */
};

struct reply_ops {
    /* The first content is about to leave: send the head (streams). */
    void (*head)(struct reply *rp);
    /* One chunk of content; `relayed_tokens` is the sum with this one. 0, ERR_LIMIT: the consumer's
     * queue is full, ERR_NOMEM: we have no room for it, or ERR_PARSE: the chunk cannot be made part
     * of the answer. */
    int (*chunk)(struct reply *rp, const struct chunk_info *info, int64_t relayed_tokens);
    /* Nothing has come for a while: a comment that keeps proxies from closing. May be NULL. */
    void (*comment)(struct reply *rp);
    /* Forget the content so far, another provider begins anew: only while the consumer has seen
     * none of it. NULL where it sees each chunk at once. */
    void (*restart)(struct reply *rp);
    /* The request failed: an error answer, or an error event when the head has left. */
    void (*error)(struct reply *rp, const struct api_error *e);
    /* The answer is complete, and its bill is known: put together what leaves in one piece, so that
     * it is charged only if it can leave. 0 or negative; NULL where it has left already. */
    int (*prepare)(struct reply *rp);
    /* The answer is complete, and was prepared: usage, receipt, end. */
    void (*end)(struct reply *rp);
    /* Tokens the consumer's socket has taken. */
    int64_t (*delivered)(struct reply *rp);
};

struct reply {
    const struct reply_ops *ops;
    struct coord *coord;
    struct http_exchange *x; /* NULL once ended */
    struct arena *region;    /* the request's */
    const char *request_id, *trace_id;
    struct str model; /* as the consumer named it */
    bool include_usage, include_receipt;
    bool answering; /* `source` has begun to answer: heads name it and its trust */
    enum reply_state state;

    /* filled by the request path as they become known */
    struct reply_source source;
    struct reply_timing timing;
    struct reply_bill bill;
    int64_t output_limit; /* tokens at most: what is put together can be no longer */

    /* the forms' own */
    struct reply_mark marks[REPLY_MARKS];
    size_t first_mark, n_marks;
    int64_t taken_tokens;
    bool role_sent;
    struct str id; /* of the first chunk, in the region */
    int64_t created_s;
    struct chunk_join *join;
    struct buf text;      /* scratch for what is rewritten */
    struct buf whole;     /* an answer in one piece */
    struct arena rewrite; /* of one chunk: used again for the next */
};

extern const struct reply_ops reply_chat_stream; /* chat_stream.c */
extern const struct reply_ops reply_chat_whole;  /* chat_whole.c */

void reply_init(struct reply *rp, struct coord *c, struct http_exchange *x, struct arena *region);
/* The consumer is gone: what its socket has taken is noted, the exchange is forgotten. */
void reply_consumer_gone(struct reply *rp);
/* Tokens the consumer's socket has taken, also when it is gone. */
int64_t reply_delivered(struct reply *rp);
/* Wipe and free what held text. */
void reply_free(struct reply *rp);

/* --- shared by the forms --- */

/* Move to a later state (reply.c has the table). */
void reply_move(struct reply *rp, enum reply_state next);

/* X-Timing's JSON: {"parse_us":…,"reserve_us":…,…}. */
int reply_timing_append(const struct reply *rp, struct buf *out);
/* "receipt":{…} with "se_signature" and "response_hash" beside it where the provider sent them. */
int reply_receipt_append(const struct reply *rp, struct buf *out);

/* CORS, the content type and the trace id: every answer has them. Values live in the request's
 * region; `ret_headers` holds REPLY_MAX_HEADERS. Returns how many. */
size_t reply_common_headers(const struct settings *s, struct str content_type, struct str trace_id,
                            struct http_header *ret_headers);
/* As before, with the trust headers and X-Timing of the provider that serves. */
size_t reply_headers(struct reply *rp, struct str content_type, struct http_header *ret_headers);

/* The error answer of a request that has not begun a stream; ends the exchange. */
void reply_error_json(struct reply *rp, const struct api_error *e);

#endif
