/* SPDX-License-Identifier: Apache-2.0 */
/* One streamed chat request over a connection of its own, and when its pieces came. Made to be
 * cheap: it shares the processors with what it measures. Belongs to its loop's thread. */
#ifndef DARKBLOOM_BENCH_STREAM_H
#define DARKBLOOM_BENCH_STREAM_H

#include "net/loop.h"

struct stream;

struct stream_config {
    struct loop *loop;
    uint16_t port;       /* of 127.0.0.1 */
    const char *api_key; /* NULL: none */
    struct str body;     /* JSON; copied */
    /* A piece with content came. May call stream_free. NULL: nobody asks. */
    void (*on_piece)(void *ud, struct stream *s);
    /* Called once: the answer is whole, was refused, or the connection could not be made or broke.
     * May call stream_free. */
    void (*on_end)(void *ud, struct stream *s);
    void *ud;
};

/* Times are the loop's monotonic microseconds, of the read that brought a piece. */
struct stream_seen {
    int64_t sent_us, end_us;  /* end_us: on_end; 0 until then */
    const int64_t *pieces_us; /* of pieces with content; borrowed, changes with each */
    size_t pieces;
    int64_t prompt_tokens, completion_tokens; /* by the answer's own usage; 0 until it came */
    int status;                               /* of HTTP; 0: no answer */
    bool whole;                               /* 200, and [DONE] was seen */
    bool ended;                               /* on_end was called */
};

/* Connect and ask; on_end says how it went. 0 or ERR_NOMEM. */
int stream_new(const struct stream_config *config, struct stream **ret_stream);
/* Close the connection, as a consumer does who leaves. NULL is allowed. */
void stream_free(struct stream *s);
const struct stream_seen *stream_seen(const struct stream *s);

#endif
