/* SPDX-License-Identifier: Apache-2.0 */
/* Which processors this process may use, and who of a measurement uses which. */
#ifndef DARKBLOOM_BENCH_PROCESSORS_H
#define DARKBLOOM_BENCH_PROCESSORS_H

#include <stdint.h>
#include <sys/types.h>

enum { PROCESSORS_MAX = 1024 };

/* Those of the affinity mask: the first of each core, then their hyper-threads. */
struct processors {
    int n;
    int n_cores;
    int at[PROCESSORS_MAX];
};

void processors_look(struct processors *ret_processors);
/* Let the calling process, and those that it starts from now on, run on the `n` ones from `first`
 * on; 0: on all. Where that is refused it goes on as before. */
void processors_take(const struct processors *p, int first, int n);

/* CPU time, microseconds, of a process's threads of that name so far. */
int64_t processors_thread_us(pid_t pid, const char *name);

#endif
