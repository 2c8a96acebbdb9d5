/* SPDX-License-Identifier: Apache-2.0 */
/* How many processors there are, and how many of them this process may use. `root` as in
 * sysfile.h. */
#ifndef DARKBLOOM_BASE_CPUS_H
#define DARKBLOOM_BASE_CPUS_H

#include <stdint.h>

/* Logical processors of the machine that are on; 0 when unknown. */
int64_t cpus_online(const char *root);

/* What the scheduler gives this process at once: its affinity mask, or less where a control group
 * (cgroup v2, cpu.max of its own and of those around it) grants less time. At least 1. */
int64_t cpus_usable(const char *root);

/* The same in physical processors: those that share a core's units (hyper-threads) count once. */
int64_t cpus_cores(const char *root);

#endif
