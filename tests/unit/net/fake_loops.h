/* SPDX-License-Identifier: Apache-2.0 */
/* One body of assertions over libuv, bare epoll and virtual time. Nothing sleeps: a run ends when
 * what it waits for happened, or fails after five seconds. */
#ifndef TESTS_NET_FAKE_LOOPS_H
#define TESTS_NET_FAKE_LOOPS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "net/loop_fake.h"

struct kind {
    int (*make)(struct loop **ret_loop);
    bool real; /* the system's sockets and signals are behind it, other threads may wake it */
};

extern const struct kind uv, epoll, fake;

struct world {
    const struct kind *kind;
    struct loop *l;
    struct loop_timer guard;
    bool timed_out;
    char order[64]; /* what happened, a letter each */
    size_t n;
};

void world_note(struct world *w, char what);
/* Until something calls loop_stop. */
void world_run(struct world *w);
/* Until everything that is ready now has been handled. */
void world_run_a_while(struct world *w);

/* From a struct kind to a struct world. */
int world_setup(void **state);
int world_teardown(void **state);

#define OVER(kind, test)                                                     \
    {                                                                        \
#kind ": " #test, test, world_setup, world_teardown, (void *)&(kind) \
    }

#endif
