/* SPDX-License-Identifier: Apache-2.0 */
/* A provider without a model: registers, answers challenges, and answers each request with a fixed
 * number of sealed chunks, at once or paced. It does all the cryptography of a real one. */
#ifndef DARKBLOOM_BENCH_NULL_PROVIDER_H
#define DARKBLOOM_BENCH_NULL_PROVIDER_H

#include "net/loop.h"

struct null_script {
    int chunks;       /* content chunks an answer */
    int64_t first_us; /* until the first one */
    int64_t pace_us;  /* between chunks; 0: all at once */
};

struct null_provider;

/* Connect to a coordinator on this machine. `script` is read for each request: the caller may
 * change it between runs. */
int null_provider_new(struct loop *l, uint16_t port, const struct null_script *script,
                      struct null_provider **ret_provider);
void null_provider_free(struct null_provider *p);

/* The same answers over plain HTTP, without coordinator, sealing or accounts: "direct". */
struct null_upstream;
int null_upstream_new(struct loop *l, const struct null_script *script, uint16_t *ret_port,
                      struct null_upstream **ret_upstream);
void null_upstream_free(struct null_upstream *up);

#endif
