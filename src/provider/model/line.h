/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's end of the wire to the engine: frames out without blocking, frames in. What the
 * engine says is not trusted (provider/wire/wire.h). Bodies of requests and texts of answers are
 * wiped once they have left or were taken. Belongs to the loop's thread. */
#ifndef DARKBLOOM_PROVIDER_MODEL_LINE_H
#define DARKBLOOM_PROVIDER_MODEL_LINE_H

#include "net/loop.h"
#include "provider/wire/wire.h"

enum { LINE_OUT_MAX_BYTES = 64 << 20 };

struct line {
    struct loop *loop;
    int sock; /* -1: no engine */
    struct loop_watch *watch;
    struct buf in, out;
    size_t taken_bytes; /* of the frame at the front of `in`, which the caller looks at */
    bool ended;         /* nothing more comes, or may be believed */
    void (*ready)(void *ud);
    void *ud;
};

/* `ready` is called when line_next may have something: a frame, or the end. */
void line_init(struct line *l, struct loop *loop, void (*ready)(void *ud), void *ud);
/* Take over a socket. 0 or ERR_NOMEM, and the socket is closed. */
int line_open(struct line *l, int sock);
/* Close; what waits in either direction is wiped. */
void line_close(struct line *l);

/* 0, ERR_CLOSED, ERR_BUSY (too much waits already), ERR_RANGE or ERR_NOMEM. */
int line_say(struct line *l, const struct wire_msg *m);

/* The next frame: 1 (its texts live until the next call), 0: none now, ERR_CLOSED: the engine has
 * closed it, ERR_PROTOCOL: it said what it may not. Both of these stay. */
int line_next(struct line *l, struct wire_msg *ret_msg);

/* Read what is left after the engine's end, so that line_next yields it: true while there may be
 * more of it than fits at once. */
bool line_read_rest(struct line *l);

#endif
