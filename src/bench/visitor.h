/* SPDX-License-Identifier: Apache-2.0 */
/* A consumer that comes once: connects, sends one chat request, and reads it to its end, or leaves
 * in the middle, or reads slowly. */
#ifndef DARKBLOOM_BENCH_VISITOR_H
#define DARKBLOOM_BENCH_VISITOR_H

#include "base/list.h"
#include "net/loop.h"

struct visit {
    struct loop *loop;
    uint16_t port;
    const char *api_key;
    bool stream;
    int max_tokens;
    int64_t leave_after_us; /* close the connection then; 0: stay to the end */
    bool bad_body;          /* send what is no JSON */
};

enum visit_end {
    VISIT_ANSWERED, /* 200 to its end */
    VISIT_REFUSED,  /* an error status, or a stream that ended with an error */
    VISIT_LEFT,     /* as planned */
    VISIT_BROKEN,   /* the connection ended before the answer did */
    VISIT_ENDS
};

struct visitors {
    struct list_node here;
    int n; /* of them */
    int64_t ended[VISIT_ENDS];
    int64_t longest_us; /* a visit that has ended */
};

void visitors_init(struct visitors *v);
/* Begin a visit; it ends by itself. 0 or ERR_NOMEM. */
int visitor_come(struct visitors *v, const struct visit *visit);
/* How long the oldest visit that still goes on has lasted; 0: nobody is here. */
int64_t visitors_oldest_us(const struct visitors *v);
/* Everybody goes at once. */
void visitors_free(struct visitors *v);

#endif
