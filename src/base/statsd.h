/* SPDX-License-Identifier: Apache-2.0 */
/* Sends metrics (base/metric.h) as DogStatsD datagrams over UDP, as the Datadog agent reads them:
 * counters as what was added since the last flush, gauges as they are, histograms as samples.
 *
 * Lines are batched into datagrams of at most 1,432 bytes (an Ethernet frame's room), sent without
 * blocking; one that cannot be sent is lost, as datagrams are, and counted. A histogram's samples
 * were already counted into buckets: each bucket is sent as one line with a sample rate, its value
 * the mean where all new samples are in one bucket, else the bucket's middle. The number of samples
 * is exact. Belongs to one thread. */
#ifndef DARKBLOOM_BASE_STATSD_H
#define DARKBLOOM_BASE_STATSD_H

#include "base/err.h"
#include "base/metric.h"

enum { STATSD_DATAGRAM_BYTES = 1432 };

struct statsd_config {
    const char *host; /* a name is looked up once, now: that may take a while */
    uint16_t port;
    const char *prefix; /* before each name: "darkbloom." */
    /* Tags of every line; empty: left out. Characters that tags cannot have become '_'. */
    struct str service, env, version;
};

struct statsd;

/* Flushes will be of instances of `table`. 0; ERR_IO or ERR_NOMEM with a text that names the host.
 */
int statsd_open(const struct statsd_config *config, const struct metric_table *table,
                struct statsd **ret_statsd, struct err *ret_err);
/* Send what changed since the last flush. `m` is the same instance every time. */
void statsd_flush(struct statsd *s, const struct metrics *m);
/* Datagrams that the system did not take. */
uint64_t statsd_lost(const struct statsd *s);
void statsd_close(struct statsd *s); /* NULL is allowed */

#endif
