/* SPDX-License-Identifier: Apache-2.0 */
/* The store's part of the table: one run of bench_store, as markdown. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "bench/bench_store.h"
#include "bench/budget.h"
#include "bench/sections.h"

static void bench_store_print_result(const struct bench_store_config *c,
                                     const struct bench_store_result *r)
{
    printf("\n### Reserve and settle, durable (SQLite, synchronous=FULL), in process\n\n"
           "| what | measured | budget | distance |\n|---|---|---|---|\n");
    printf("| flush of the disk alone (4 KiB, fdatasync) | p50 %lld µs, p95 %lld µs | | |\n",
           (long long)r->flush_p50_us, (long long)r->flush_p95_us);
    printf("| reserve, submit to durable, %lld requests/s offered | **p50 %lld µs**, p95 %lld µs, "
           "p99 %lld µs | p50 ≤ %lld µs (2 × flush) | %s |\n",
           (long long)c->offered_per_s, (long long)r->commit_p50_us, (long long)r->commit_p95_us,
           (long long)r->commit_p99_us, (long long)(2 * r->flush_p50_us),
           budget_at_most((double)r->commit_p50_us, 2 * (double)r->flush_p50_us).text);
    printf("| the same: operations a commit | %.1f | | |\n",
           (double)r->paced_ops / (double)(r->paced_batches ? r->paced_batches : 1));
    printf(
        "| reserve + settle at saturation, %lld in flight | **%lld requests/s**, %.0f operations a "
        "commit | ≥ 15,000/s | %s |\n",
        (long long)c->in_flight, (long long)r->requests_per_s,
        (double)r->saturated_ops / (double)(r->saturated_batches ? r->saturated_batches : 1),
        budget_at_least((double)r->requests_per_s, 15000).text);
}

int bench_store_section(void)
{
    const char *tmp = getenv("TMPDIR");
    char dir[256];
    struct bench_store_config config;
    struct bench_store_result result;
    struct err e = {0};
    int rc;

    snprintf(dir, sizeof dir, "%s/darkbloom-bench-store-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(dir)) {
        fprintf(stderr, "darkbloom-bench: no directory for the store in %s\n", tmp ? tmp : "/tmp");
        return ERR_IO;
    }
    config = bench_store_defaults(dir);
    rc = bench_store(&config, &result, &e);
    rmdir(dir);
    if (rc < 0)
        fprintf(stderr, "darkbloom-bench: %s\n", e.text);
    else
        bench_store_print_result(&config, &result);
    return rc;
}
