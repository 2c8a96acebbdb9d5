/* SPDX-License-Identifier: Apache-2.0 */
/* The durable ledger measured alone: reserve and settle through the store's thread, beside the
 * disk's own flush in the same run. */
#ifndef DARKBLOOM_BENCH_BENCH_STORE_H
#define DARKBLOOM_BENCH_BENCH_STORE_H

#include <stdint.h>

#include "base/err.h"

struct bench_store_config {
    const char *dir; /* where the database and the probe file are made, and removed */
    int64_t paced_s; /* how long at the offered rate */
    int64_t
        offered_per_s; /* requests a second: one reserve and, when that is durable, one settle */
    int64_t saturated_requests; /* how many as fast as they go */
    int64_t in_flight;          /* of which at a time */
};

/* What `make bench` uses: 5 s at 1,000/s, then 100,000 requests with 1,024 in flight. */
struct bench_store_config bench_store_defaults(const char *dir);

struct bench_store_result {
    int64_t flush_p50_us,
        flush_p95_us; /* 4 KiB appended and fdatasync, before and after the paced part */
    int64_t commit_p50_us, commit_p95_us, commit_p99_us; /* submit → durable, at the offered rate */
    int64_t paced_ops, paced_batches;
    int64_t requests_per_s; /* reserve + settle pairs at saturation */
    int64_t saturated_ops, saturated_batches;
};

/* Takes the calling thread; 0, ERR_IO, ERR_NOMEM or ERR_STORE; ERR_INTERNAL when the ledger does
 * not balance afterwards. */
int bench_store(const struct bench_store_config *config, struct bench_store_result *ret_result,
                struct err *ret_err);

#endif
