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
    const char *min_trust;   /* NULL: "none" */
    bool metrics;            /* it answers child_gauge */
    const char *const *args; /* more of its arguments, NULL-terminated; NULL: none */
};

struct child {
    pid_t pid;
    uint16_t port, metrics_port; /* metrics_port 0: none */
    int starts;
    char dir[CHILD_PATH_BYTES]; /* temporary; removed at the end */
    char key[CHILD_KEY_BYTES];  /* a key with credit */
};

/* Start the program and wait until it listens. `ret_child` is untouched on failure. */
int child_start(const struct child_config *config, struct child *ret_child, struct err *ret_err);
/* Kill it (SIGKILL) and start it again on the same port over the same store. */
int child_restart(const struct child_config *config, struct child *c, struct err *ret_err);
/* A gauge or counter by the name that /metrics gives it, summed over its labels. Waits for the
 * answer. ERR_IO where it does not come within a second or has no such name. */
int child_gauge(const struct child *c, const char *name, double *ret_value);
/* Run one of its commands over the store (`ledger check`): the exit status, its output in
 * *ret_output, cut. ERR_IO where it cannot be started. */
int child_command(const char *program, const struct child *c, const char *const *words,
                  char *ret_output, size_t cap);
/* Make an account with credit and a key. */
int child_make_key(const char *program, const struct child *c, const char *account,
                   char ret_key[CHILD_KEY_BYTES], struct err *ret_err);
/* Resident memory, KiB; 0 where it is gone. */
int64_t child_resident_kib(pid_t pid);
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

/* Start a program whose words go to the file `log`; it ends with the calling process. Its process
 * id, or a negative number. */
pid_t child_start_logged(char *const argv[], const char *log, int core);
/* A port of 127.0.0.1 that is free now; 0: none. */
uint16_t child_free_port(void);

/* Let the calling process run on every core again. */
void child_unpin_self(void);
/* Pin the calling process. 0 or ERR_IO (then it runs unpinned). */
int child_pin_self(int core);

#endif
