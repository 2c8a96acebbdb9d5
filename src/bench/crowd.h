/* SPDX-License-Identifier: Apache-2.0 */
/* A load of many processes, for a coordinator that one process cannot keep busy: each has null
 * providers and HTTP clients on a loop of its own, and does what its parent says. */
#ifndef DARKBLOOM_BENCH_CROWD_H
#define DARKBLOOM_BENCH_CROWD_H

#include "bench/child.h"
#include "bench/null_provider.h"

enum { CROWD_MAX = 64 };

struct crowd_config {
    uint16_t port;
    int n;                       /* processes, 1 to CROWD_MAX */
    int providers_each;          /* null providers of each process */
    const char *keys[CROWD_MAX]; /* of each process: an account of its own */
};

/* What all do at once. */
struct crowd_load {
    struct null_script script;
    int connections; /* of each process */
    int64_t duration_us;
    bool stream;
    int min_events; /* as load_config */
};

struct crowd_result {
    double rate; /* requests a second, of all */
    int64_t n;   /* answered */
    int64_t failed;
    int64_t elapsed_us; /* of the one that took longest */
    int64_t cpu_us;     /* of all of the load's processes */
    int64_t p50_us,
        p99_us; /* of whole requests: the median of the processes' p50, their worst p99 */
};

struct crowd {
    int n;
    pid_t pids[CROWD_MAX];
    int ends[CROWD_MAX]; /* of a socket to each; -1: none */
};

/* Start the processes where the calling one may run (its affinity), and wait until their providers
 * may be asked. 0 or an error; crowd_free is due in any case. */
int crowd_new(const struct crowd_config *config, struct crowd *ret_crowd, struct err *ret_err);
/* 0, or ERR_IO: a process has ended. */
int crowd_run(struct crowd *c, const struct crowd_load *load, struct crowd_result *ret_result);
void crowd_free(struct crowd *c);

#endif
