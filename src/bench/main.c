/* SPDX-License-Identifier: Apache-2.0 */
/* darkbloom-bench: one run, one machine, one table. The coordinator has core 0; the load, the null
 * provider and the direct upstream share core 1 on one loop. Absolute times depend on the machine:
 * read the ratios and the distance to the budget. */
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/child.h"
#include "bench/load.h"
#include "bench/null_provider.h"
#include "bench/sections.h"

enum { COORDINATOR_CORE = 0, LOAD_CORE = 1, READY_TRIES = 200, READY_WAIT_US = 50000 };

struct setup {
    struct loop *loop;
    struct child child;
    struct null_provider *provider;
    struct null_script script;
    struct null_upstream *upstream;
    uint16_t upstream_port;
};

static int run_load(struct setup *s, bool direct, int connections, int requests,
                    int64_t duration_us, bool stream, struct load_result *ret)
{
    const struct load_config config = {.loop = s->loop,
                                       .port = direct ? s->upstream_port : s->child.port,
                                       .api_key = direct ? NULL : s->child.key,
                                       .connections = connections,
                                       .requests = requests,
                                       .duration_us = duration_us,
                                       .stream = stream};

    return load_run(&config, ret);
}

static void stop_loop(void *ud)
{
    loop_stop(ud);
}

/* The provider is routable once its first challenge was answered: ask until an answer is 200. */
static int wait_until_routable(struct setup *s)
{
    for (int i = 0; i < READY_TRIES; i++) {
        struct loop_timer timer = {0};
        struct load_result r;
        bool ready = run_load(s, false, 1, 1, 0, true, &r) == 0 && r.n == 1;

        load_result_free(&r);
        if (ready)
            return 0;
        loop_timer_set(s->loop, &timer, READY_WAIT_US, stop_loop, s->loop);
        (void)loop_run(s->loop);
    }
    return ERR_TIMEOUT;
}

static int setup_new(const char *program, const char *loop_name, struct setup *s, struct err *e)
{
    int rc;

    *s = (struct setup){.script = {.chunks = 1}};
    rc = child_start(program, loop_name, COORDINATOR_CORE, &s->child, e);
    if (rc == 0)
        rc = loop_uv_new(&s->loop, e);
    if (rc == 0)
        rc = null_upstream_new(s->loop, &s->script, &s->upstream_port, &s->upstream);
    if (rc == 0)
        rc = null_provider_new(s->loop, s->child.port, &s->script, &s->provider);
    if (rc == 0)
        rc = wait_until_routable(s);
    return rc;
}

static void setup_free(struct setup *s)
{
    null_provider_free(s->provider);
    null_upstream_free(s->upstream);
    loop_free(s->loop);
    child_stop(&s->child);
}

/* --- added latency --- */

static void latency_row(struct setup *s, const char *name, int64_t first_us, int requests,
                        const char *budget)
{
    struct load_result direct, through;
    int64_t d50, d99, t50, t99;

    s->script = (struct null_script){.chunks = 1, .first_us = first_us};
    if (run_load(s, true, 1, requests, 0, true, &direct) < 0 ||
        run_load(s, false, 1, requests, 0, true, &through) < 0 || through.failed > 0) {
        printf("| %s | failed | | | | %s |\n", name, budget);
        return;
    }
    d50 = load_percentile(direct.first_us, direct.n, 0.5);
    d99 = load_percentile(direct.first_us, direct.n, 0.99);
    t50 = load_percentile(through.first_us, through.n, 0.5);
    t99 = load_percentile(through.first_us, through.n, 0.99);
    printf("| %s | %lld / %lld | %lld / %lld | **%lld / %lld** | %s |\n", name, (long long)d50,
           (long long)d99, (long long)t50, (long long)t99, (long long)(t50 - d50),
           (long long)(t99 - d99), budget);
    load_result_free(&direct);
    load_result_free(&through);
}

static void latency(struct setup *s)
{
    printf("\n### Added latency to the first token, 1 connection, µs (p50 / p99)\n\n"
           "| provider | direct | through | added | budget |\n|---|---|---|---|---|\n");
    latency_row(s, "20 ms to its first token", 20000, 300, "150 / 300");
    latency_row(s, "instant (waits for the reserve's commit)", 0, 300, "reported");
}

/* --- requests --- */

static void requests(struct setup *s)
{
    struct load_result r;
    int64_t cpu;

    s->script = (struct null_script){.chunks = 1};
    cpu = child_cpu_us(&s->child);
    if (run_load(s, false, 64, 0, 5000000, false, &r) < 0)
        return;
    cpu = child_cpu_us(&s->child) - cpu;
    printf("\n### Whole requests, not streamed, 64 connections, a fresh ephemeral key each\n\n"
           "| requests/s | CPU µs a request (all threads) | p50 / p99 ms | failed | budget |\n"
           "|---|---|---|---|---|\n"
           "| **%.0f** | **%.0f** | %.1f / %.1f | %zu | ≥ 9,000; ≤ 140 µs |\n",
           (double)r.n * 1e6 / (double)r.elapsed_us, (double)cpu / (double)r.n,
           (double)load_percentile(r.whole_us, r.n, 0.5) / 1000,
           (double)load_percentile(r.whole_us, r.n, 0.99) / 1000, r.failed);
    load_result_free(&r);
}

/* --- relay --- */

static void relay_row(struct setup *s, const char *loop_name, const char *what,
                      struct null_script script, const char *budget)
{
    struct load_result r;
    int64_t cpu;
    double chunks;

    s->script = script;
    cpu = child_cpu_us(&s->child);
    if (run_load(s, false, 64, 0, 5000000, true, &r) < 0)
        return;
    cpu = child_cpu_us(&s->child) - cpu;
    chunks = (double)(r.n * (size_t)script.chunks);
    printf("| %s | %s | **%.0f** | **%.2f** | %zu | %s |\n", loop_name, what,
           chunks * 1e6 / (double)r.elapsed_us, (double)cpu / chunks, r.failed, budget);
    load_result_free(&r);
}

static void relay(struct setup *s, const char *loop_name)
{
    relay_row(s, loop_name, "bursts of 64", (struct null_script){.chunks = 64},
              "≥ 200,000/s; ≤ 5 µs");
    relay_row(s, loop_name, "paced, one each 20 ms",
              (struct null_script){.chunks = 64, .first_us = 20000, .pace_us = 20000}, "≤ 13 µs");
}

static int coordinator_sections(const char *program)
{
    static const char *const loops[] = {"uv", "epoll"};
    struct err e = {0};

    for (size_t i = 0; i < sizeof loops / sizeof loops[0]; i++) {
        struct setup s;
        int rc = setup_new(program, loops[i], &s, &e);

        if (rc < 0) {
            fprintf(stderr, "darkbloom-bench: %s\n", e.text[0] ? e.text : err_str(rc));
            setup_free(&s);
            return rc;
        }
        if (i == 0) {
            latency(&s);
            requests(&s);
            printf("\n### Relayed chunks, 64 streams (CPU includes each request's own cost)\n\n"
                   "| loop | pattern | chunks/s | CPU µs a chunk | failed | budget |\n"
                   "|---|---|---|---|---|---|\n");
        }
        relay(&s, loops[i]);
        setup_free(&s);
        fflush(stdout);
    }
    return 0;
}

/* --- sections --- */

struct places {
    const char *program; /* the coordinator */
    const char *model;
};

static int coordinator(const struct places *places)
{
    int rc;

    if (child_pin_self(LOAD_CORE) < 0)
        printf("\n(The load could not be pinned to core %d: figures are of an unpinned run.)\n",
               LOAD_CORE);
    rc = coordinator_sections(places->program);
    child_unpin_self();
    return rc;
}

static int store(const struct places *places)
{
    (void)places;
    return bench_store_section();
}

static int engine(const struct places *places)
{
    return bench_engine_section(places->model);
}

static int numerics(const struct places *places)
{
    return bench_numerics_section(places->model);
}

static const struct {
    const char *name;
    int (*run)(const struct places *places);
} sections[] = {
    {"coordinator", coordinator}, {"store", store}, {"engine", engine}, {"numerics", numerics}};

/* No name: all of them. */
static bool is_chosen(const char *name, int n, char **names)
{
    for (int i = 0; i < n; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return n == 0;
}

static int usage(FILE *to)
{
    fprintf(to, "Usage: darkbloom-bench COORDINATOR_PROGRAM MODEL.gguf [SECTION]...\n\n"
                "Prints one table of this machine's figures beside the budgets of the design.\n"
                "Sections:");
    for (size_t i = 0; i < sizeof sections / sizeof sections[0]; i++)
        fprintf(to, " %s", sections[i].name);
    fprintf(to, "\n");
    return to == stdout ? 0 : 2;
}

static bool is_section(const char *name)
{
    for (size_t i = 0; i < sizeof sections / sizeof sections[0]; i++)
        if (strcmp(name, sections[i].name) == 0)
            return true;
    return false;
}

int main(int argc, char **argv)
{
    int rc = 0;

    if (argc > 1 && strcmp(argv[1], "--help") == 0)
        return usage(stdout);
    if (argc < 3)
        return usage(stderr);
    for (int i = 3; i < argc; i++) {
        if (!is_section(argv[i])) {
            fprintf(stderr, "darkbloom-bench: no section \"%s\"\n", argv[i]);
            return usage(stderr);
        }
    }
    if (sodium_init() < 0)
        return 1;
    signal(SIGPIPE, SIG_IGN);
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("# darkbloom-bench %s\n", DARKBLOOM_VERSION);
    for (size_t i = 0; rc == 0 && i < sizeof sections / sizeof sections[0]; i++)
        if (is_chosen(sections[i].name, argc - 3, argv + 3))
            rc = sections[i].run(&(struct places){argv[1], argv[2]});
    return rc < 0 ? 1 : 0;
}
