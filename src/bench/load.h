/* SPDX-License-Identifier: Apache-2.0 */
/* The load side of a measurement: keep-alive HTTP clients that send one chat request after another
 * on one loop, and what they saw. */
#ifndef DARKBLOOM_BENCH_LOAD_H
#define DARKBLOOM_BENCH_LOAD_H

#include "net/loop.h"

struct load_config {
    struct loop *loop;
    uint16_t port;
    const char *api_key; /* NULL: none */
    int connections;
    int requests; /* in all; 0: until duration_us */
    int warm_up;  /* the first ones of `requests` that are not counted: a fresh connection's */
    int64_t duration_us;
    bool stream;
    int min_events; /* a stream with fewer events failed */
};

struct load_result {
    int64_t *first_us; /* per request: send → first body byte; owned, load_result_free */
    int64_t *whole_us; /* per request: send → last byte */
    size_t n, cap;
    size_t failed; /* not 200, too few events, or the connection broke */
    int64_t elapsed_us;
};

/* Run to the end (runs the loop). 0 or a negative error. */
int load_run(const struct load_config *config, struct load_result *ret_result);
void load_result_free(struct load_result *r);

/* Value at share `p` (0..1) of the sorted samples; sorts in place. 0 without samples. */
int64_t load_percentile(int64_t *samples, size_t n, double p);

#endif
