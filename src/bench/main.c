/* SPDX-License-Identifier: Apache-2.0 */
/* darkbloom-bench: one run, one machine, one table. Absolute times depend on the machine: read the
 * ratios and the distance to the budget. */
#include <signal.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/sections.h"

static int bench_main_store(const char *unused)
{
    (void)unused;
    return bench_store_section();
}

static int bench_main_routing(const char *unused)
{
    (void)unused;
    return bench_routing_section();
}

enum bench_main_needs { NEEDS_PROGRAM, NEEDS_MODEL };

static const struct {
    const char *name;
    int (*run)(const char *path); /* of the coordinator's program, or of the model */
    enum bench_main_needs needs;
    bool only_named; /* it takes long: not among all of them */
} sections[] = {
    {"latency", bench_latency_section, NEEDS_PROGRAM, false},
    {"requests", bench_requests_section, NEEDS_PROGRAM, false},
    {"relay", bench_relay_section, NEEDS_PROGRAM, false},
    {"loops", bench_loops_section, NEEDS_PROGRAM, false},
    {"instructions", bench_instructions_section, NEEDS_PROGRAM, false},
    {"fleet", bench_fleet_section, NEEDS_PROGRAM, false},
    {"soak", bench_soak_section, NEEDS_PROGRAM, true},
    {"routing", bench_main_routing, NEEDS_PROGRAM, false},
    {"store", bench_main_store, NEEDS_PROGRAM, false},
    {"engine", bench_engine_section, NEEDS_MODEL, false},
    {"numerics", bench_numerics_section, NEEDS_MODEL, false},
    {"peers", bench_peers_section, NEEDS_PROGRAM, true},
};

/* No name: all but those that have to be named. */
static bool bench_main_is_chosen(size_t section, int n, char **names)
{
    for (int i = 0; i < n; i++) {
        if (strcmp(sections[section].name, names[i]) == 0)
            return true;
    }
    return n == 0 && !sections[section].only_named;
}

static int bench_main_usage(FILE *to)
{
    fprintf(to, "Usage: darkbloom-bench COORDINATOR_PROGRAM MODEL.gguf [SECTION]...\n\n"
                "Prints one table of this machine's figures beside the budgets of the design.\n"
                "Sections:");
    for (size_t i = 0; i < sizeof sections / sizeof sections[0]; i++)
        fprintf(to, " %s", sections[i].name);
    fprintf(to, "\n");
    return to == stdout ? 0 : 2;
}

static bool bench_main_is_section(const char *name)
{
    for (size_t i = 0; i < sizeof sections / sizeof sections[0]; i++) {
        if (strcmp(name, sections[i].name) == 0)
            return true;
    }
    return false;
}

int main(int argc, char **argv)
{
    int rc = 0;

    if (argc > 1 && strcmp(argv[1], "--help") == 0)
        return bench_main_usage(stdout);
    if (argc < 3)
        return bench_main_usage(stderr);
    for (int i = 3; i < argc; i++) {
        if (!bench_main_is_section(argv[i])) {
            fprintf(stderr, "darkbloom-bench: no section \"%s\"\n", argv[i]);
            return bench_main_usage(stderr);
        }
    }
    if (sodium_init() < 0)
        return 1;
    signal(SIGPIPE, SIG_IGN);
    (void)setenv("PEERS_MODEL", argv[2], 0); /* without memory the section says that it has none */
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("# darkbloom-bench %s\n", DARKBLOOM_VERSION);
    for (size_t i = 0; rc == 0 && i < sizeof sections / sizeof sections[0]; i++) {
        if (bench_main_is_chosen(i, argc - 3, argv + 3))
            rc = sections[i].run(argv[sections[i].needs == NEEDS_PROGRAM ? 1 : 2]);
    }
    return rc < 0 ? 1 : 0;
}
