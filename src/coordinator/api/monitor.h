/* SPDX-License-Identifier: Apache-2.0 */
/* The operator's listener (setting metrics.listen): GET /metrics for Prometheus, /ready and
 * /health, without a key, on an address of its own. It stays open while the coordinator drains.
 * Loop's thread. */
#ifndef DARKBLOOM_COORDINATOR_API_MONITOR_H
#define DARKBLOOM_COORDINATOR_API_MONITOR_H

#include <stdint.h>

#include "base/err.h"

struct coord;
struct monitor;

/* Listen where the settings say. *ret_monitor is NULL where they name no address. */
int monitor_new(struct coord *c, struct monitor **ret_monitor, struct err *ret_err);
uint16_t monitor_port(const struct monitor *m); /* 0 for NULL */
void monitor_free(struct monitor *m);           /* NULL is allowed */

/* Set this shard's gauges from its state: before they are shown or sent. */
void monitor_refresh(struct coord *c);

#endif
