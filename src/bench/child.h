/* SPDX-License-Identifier: Apache-2.0 */
/* The coordinator under measurement: a child process on a core of its own, with a fresh store. */
#ifndef DARKBLOOM_BENCH_CHILD_H
#define DARKBLOOM_BENCH_CHILD_H

#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

enum { CHILD_KEY_BYTES = 128, CHILD_PATH_BYTES = 512 };

struct child {
    pid_t pid;
    uint16_t port;
    char dir[CHILD_PATH_BYTES]; /* temporary; removed at the end */
    char key[CHILD_KEY_BYTES];  /* a key with credit */
};

/* Start `program` pinned to `core` with `loop_name` ("uv" or "epoll") and wait until it listens.
 * `ret_child` is untouched on failure. */
int child_start(const char *program, const char *loop_name, int core, struct child *ret_child,
                struct err *ret_err);
/* CPU time of all of a process's threads so far, microseconds (schedstat: nanosecond resolution).
 */
int64_t child_cpu_us(pid_t pid);
/* End it and remove its directory. A zeroed or a stopped child is allowed. */
void child_stop(struct child *c);

/* Let the calling process run on every core again. */
void child_unpin_self(void);
/* Pin the calling process. 0 or ERR_IO (then it runs unpinned). */
int child_pin_self(int core);

#endif
