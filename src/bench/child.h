/* SPDX-License-Identifier: Apache-2.0 */
/* The coordinator under measurement: a child process on a core of its own, with a fresh store in a
 * directory of its own. */
#ifndef DARKBLOOM_BENCH_CHILD_H
#define DARKBLOOM_BENCH_CHILD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "bench/callgrind.h"

enum { CHILD_KEY_BYTES = 128, CHILD_PATH_BYTES = 512 };

struct child_config {
    const char *program;
    const char *loop_name;   /* "uv" or "epoll" */
    int core;                /* pinned to it; negative: not pinned */
    bool count_instructions; /* under valgrind's callgrind: about 50 times slower */
    const char *const *args; /* more of its arguments, NULL-terminated; NULL: none */
};

struct child {
    pid_t pid;
    uint16_t port;
    char dir[CHILD_PATH_BYTES]; /* temporary; removed at the end */
    char key[CHILD_KEY_BYTES];  /* a key with credit */
};

/* Start the program and wait until it listens. `ret_child` is untouched on failure. */
int child_start(const struct child_config *config, struct child *ret_child, struct err *ret_err);
/* Ask it to stop (SIGTERM) and wait until it has; its directory stays until child_stop. */
void child_finish(struct child *c);
/* Instructions that it and its threads executed; only after child_finish of a child that counts.
 * ERR_IO or ERR_PARSE where the count is missing. */
int child_instructions(const struct child *c, const char *program,
                       struct callgrind_counts *ret_counts);
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
