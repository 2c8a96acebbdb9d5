/* SPDX-License-Identifier: Apache-2.0 */
/* darkbloom-bench: one run, one machine, one table. Absolute times depend on the machine: read the
 * ratios and the distance to the budget. */
#include <signal.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "bench/sections.h"

struct places {
    const char *program; /* the coordinator */
    const char *model;
};

static int bench_main_latency(const struct places *p)
{
    return bench_latency_section(p->program);
}

static int bench_main_requests(const struct places *p)
{
    return bench_requests_section(p->program);
}

static int bench_main_relay(const struct places *p)
{
    return bench_relay_section(p->program);
}

static int bench_main_instructions(const struct places *p)
{
    return bench_instructions_section(p->program);
}

static int bench_main_fleet(const struct places *p)
{
    return bench_fleet_section(p->program);
}

static int bench_main_store(const struct places *p)
{
    (void)p;
    return bench_store_section();
}

static int bench_main_engine(const struct places *p)
{
    return bench_engine_section(p->model);
}

static int bench_main_numerics(const struct places *p)
{
    return bench_numerics_section(p->model);
}

static const struct {
    const char *name;
    int (*run)(const struct places *places);
} sections[] = {{"latency", bench_main_latency}, {"requests", bench_main_requests},
                {"relay", bench_main_relay},     {"instructions", bench_main_instructions},
                {"fleet", bench_main_fleet},     {"store", bench_main_store},
                {"engine", bench_main_engine},   {"numerics", bench_main_numerics}};

/* No name: all of them. */
static bool bench_main_is_chosen(const char *name, int n, char **names)
{
    for (int i = 0; i < n; i++) {
        if (strcmp(name, names[i]) == 0)
            return true;
    }
    return n == 0;
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
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("# darkbloom-bench %s\n", DARKBLOOM_VERSION);
    for (size_t i = 0; rc == 0 && i < sizeof sections / sizeof sections[0]; i++) {
        if (bench_main_is_chosen(sections[i].name, argc - 3, argv + 3))
            rc = sections[i].run(&(struct places){argv[1], argv[2]});
    }
    return rc < 0 ? 1 : 0;
}
