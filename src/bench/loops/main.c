/* SPDX-License-Identifier: Apache-2.0 */
/* darkbloom-bench-loops: the section `loops` alone. It needs no inference engine and no model, so
 * that it can be taken to a machine with many processors (scripts/bench_loops.sh). */
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "bench/sections.h"

int main(int argc, char **argv)
{
    if (argc != 2 || strcmp(argv[1], "--help") == 0) {
        fprintf(stderr, "Usage: darkbloom-bench-loops COORDINATOR_PROGRAM\n\n"
                        "BENCH_LOOPS=\"1 2 4\" names the numbers of event loops to compare.\n");
        return 2;
    }
    if (sodium_init() < 0)
        return 1;
    signal(SIGPIPE, SIG_IGN);
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("# darkbloom-bench %s\n", DARKBLOOM_VERSION);
    return bench_loops_section(argv[1]) < 0 ? 1 : 0;
}
