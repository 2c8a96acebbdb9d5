/* SPDX-License-Identifier: Apache-2.0 */
/* How the machine is doing right now, for heartbeats. */
#ifndef DARKBLOOM_PROVIDER_SESSION_METRICS_H
#define DARKBLOOM_PROVIDER_SESSION_METRICS_H

#include "proto/provider_msg.h"

/* memory_pressure: share of memory that is not available (MemAvailable); cpu_usage: one-minute load
 * by processors, at most 1; thermal_state: the worst thermal zone against its own trip points
 * (passive: fair, hot: serious, critical: critical). What cannot be read counts as 0 or nominal. */
struct msg_system_metrics metrics_read(const char *root);

/* Memory of the machine in GiB; 0 when unknown. */
double metrics_total_memory_gb(const char *root);

#endif
