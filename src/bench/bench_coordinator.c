/* SPDX-License-Identifier: Apache-2.0 */
/* The coordinator as a process between a load and a null provider. It has core 0; the load, the
 * null provider and the direct upstream share core 1 on one loop. Beside each figure stands what a
 * bare byte relay in its place adds or takes: the floor of this machine in this run. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bare_relay.h"
#include "bench/budget.h"
#include "bench/sections.h"
#include "bench/stand.h"

enum { STREAMS = 64, LOAD_US = 5000000, SLOW_FIRST_US = 20000 };

struct setup {
    struct stand stand;
    struct null_upstream *upstream;
    uint16_t upstream_port;
    struct bare_relay relay;
};

enum path { PATH_DIRECT, PATH_BARE_RELAY, PATH_COORDINATOR, PATHS };

/* `config` says how much and of what kind; where it goes is `path`. */
static int coordinator_run_load(struct setup *s, enum path path, struct load_config config,
                                struct load_result *ret)
{
    if (path == PATH_COORDINATOR)
        return stand_load(&s->stand, config, ret);
    config.loop = s->stand.loop;
    config.port = path == PATH_DIRECT ? s->upstream_port : s->relay.port;
    return load_run(&config, ret);
}

static int coordinator_setup_new(const char *program, const char *loop_name, struct setup *s,
                                 struct err *e)
{
    const struct child_config config = {
        .program = program, .loop_name = loop_name, .core = STAND_COORDINATOR_CORE};
    int rc;

    *s = (struct setup){.upstream_port = 0};
    rc = stand_new(&config, &s->stand, e);
    if (rc == 0)
        rc = null_upstream_new(s->stand.loop, &s->stand.script, &s->upstream_port, &s->upstream);
    if (rc == 0)
        rc = bare_relay_start(STAND_COORDINATOR_CORE, s->upstream_port, &s->relay);
    return rc;
}

static void coordinator_setup_free(struct setup *s)
{
    bare_relay_stop(&s->relay);
    null_upstream_free(s->upstream);
    stand_free(&s->stand);
}

/* --- added latency --- */

/* The three paths take turns, so that whatever else the machine does falls on all of them. */
enum { LATENCY_ROUNDS = 25, LATENCY_ROUND_REQUESTS = 20 };

struct latencies {
    int64_t first_us[PATHS][LATENCY_ROUNDS * LATENCY_ROUND_REQUESTS];
    size_t n[PATHS];
};

struct percentiles {
    long long p50, p99;
};

static int coordinator_measure_round(struct setup *s, enum path path, struct latencies *l)
{
    const struct load_config round = {
        .connections = 1, .requests = LATENCY_ROUND_REQUESTS + 1, .warm_up = 1, .stream = true};
    struct load_result r;
    int rc = coordinator_run_load(s, path, round, &r);

    if (rc == 0 && (r.failed > 0 || r.n > LATENCY_ROUND_REQUESTS))
        rc = ERR_PROTOCOL;
    if (rc == 0) {
        memcpy(l->first_us[path] + l->n[path], r.first_us, r.n * sizeof *r.first_us);
        l->n[path] += r.n;
    }
    load_result_free(&r);
    return rc;
}

static int coordinator_measure_latencies(struct setup *s, struct latencies *l)
{
    int rc = 0;

    for (int round = 0; rc == 0 && round < LATENCY_ROUNDS; round++) {
        for (enum path path = PATH_DIRECT; rc == 0 && path < PATHS; path++)
            rc = coordinator_measure_round(s, path, l);
    }
    return rc;
}

static struct percentiles coordinator_percentiles_of(struct latencies *l, enum path path)
{
    return (struct percentiles){load_percentile(l->first_us[path], l->n[path], 0.5),
                                load_percentile(l->first_us[path], l->n[path], 0.99)};
}

static int coordinator_latency_row(struct setup *s, const char *name, int64_t first_us,
                                   bool budgeted)
{
    struct latencies *l = calloc(1, sizeof *l);
    struct percentiles direct, bare, through, added;
    int rc;

    s->stand.script = (struct null_script){.chunks = 1, .first_us = first_us};
    rc = l ? coordinator_measure_latencies(s, l) : ERR_NOMEM;
    if (rc < 0) {
        free(l);
        return rc;
    }
    direct = coordinator_percentiles_of(l, PATH_DIRECT);
    bare = coordinator_percentiles_of(l, PATH_BARE_RELAY);
    through = coordinator_percentiles_of(l, PATH_COORDINATOR);
    added = (struct percentiles){through.p50 - direct.p50, through.p99 - direct.p99};
    free(l);
    printf("| %s | %lld / %lld | %lld / %lld | %lld / %lld | **%lld / %lld** |", name, direct.p50,
           direct.p99, bare.p50 - direct.p50, bare.p99 - direct.p99, through.p50, through.p99,
           added.p50, added.p99);
    if (budgeted)
        printf(" 150 / 300 | %s / %s |\n", budget_at_most((double)added.p50, 150).text,
               budget_at_most((double)added.p99, 300).text);
    else
        printf(" reported | |\n");
    return 0;
}

static int coordinator_latency(struct setup *s, const char *loop_name)
{
    int rc;

    (void)loop_name;
    printf(
        "\n### Time to the first token, 1 connection, µs: p50 / p99, and what is added to each\n\n"
        "| provider | direct | a bare byte relay adds | through | **added** | budget | distance "
        "|\n|---|---|---|---|---|---|---|\n");
    rc = coordinator_latency_row(s, "20 ms to its first token", SLOW_FIRST_US, true);
    return rc < 0
               ? rc
               : coordinator_latency_row(s, "instant (waits for the reserve's commit)", 0, false);
}

/* --- requests --- */

static int coordinator_requests_row(struct setup *s, const char *name, int64_t first_us,
                                    int connections)
{
    const struct load_config whole = {.connections = connections, .duration_us = LOAD_US};
    struct load_result r;
    double rate, cpu_us;
    int64_t cpu;
    int rc;

    s->stand.script = (struct null_script){.chunks = 1, .first_us = first_us};
    cpu = child_cpu_us(s->stand.child.pid);
    rc = coordinator_run_load(s, PATH_COORDINATOR, whole, &r);
    if (rc < 0)
        return rc;
    rate = (double)r.n * 1e6 / (double)r.elapsed_us;
    cpu_us = (double)(child_cpu_us(s->stand.child.pid) - cpu) / (double)(r.n ? r.n : 1);
    printf(
        "| %s, %d connections | **%.0f** | **%.0f** | %.1f / %.1f | %zu | ≥ 9,000; ≤ 140 µs | %s; "
        "%s |\n",
        name, connections, rate, cpu_us, (double)load_percentile(r.whole_us, r.n, 0.5) / 1000,
        (double)load_percentile(r.whole_us, r.n, 0.99) / 1000, r.failed,
        budget_at_least(rate, 9000).text, budget_at_most(cpu_us, 140).text);
    load_result_free(&r);
    return 0;
}

static int coordinator_requests(struct setup *s, const char *loop_name)
{
    int rc;

    (void)loop_name;
    printf(
        "\n### Whole requests, not streamed, a fresh ephemeral key each\n\n"
        "| provider | requests/s | CPU µs a request (all threads) | p50 / p99 ms | failed | budget "
        "| distance |\n|---|---|---|---|---|---|---|\n");
    rc = coordinator_requests_row(s, "instant", 0, STREAMS);
    /* Enough of them that 20 ms of waiting each are not the limit. */
    return rc < 0 ? rc
                  : coordinator_requests_row(s, "20 ms to its first token", SLOW_FIRST_US,
                                             8 * STREAMS);
}

/* --- relay --- */

struct pattern {
    const char *name;
    struct null_script script;
    double rate_budget, cpu_budget_us; /* rate 0: none, the provider's pace is the limit */
};

static const struct pattern patterns[] = {
    {"bursts of 64", {.chunks = 64}, 200000, 5},
    {"paced, one each 20 ms", {.chunks = 64, .first_us = SLOW_FIRST_US, .pace_us = 20000}, 0, 13},
};

static void coordinator_print_relay(const struct pattern *pattern, bool is_floor, double rate,
                                    double cpu_us)
{
    if (is_floor)
        printf(" the floor | |\n");
    else if (pattern->rate_budget > 0)
        printf(" ≥ 200,000/s; ≤ 5 µs | %s; %s |\n",
               budget_at_least(rate, pattern->rate_budget).text,
               budget_at_most(cpu_us, pattern->cpu_budget_us).text);
    else
        printf(" ≤ 13 µs | %s |\n", budget_at_most(cpu_us, pattern->cpu_budget_us).text);
}

static int coordinator_relay_row(struct setup *s, const char *name, enum path path,
                                 const struct pattern *pattern)
{
    const struct load_config streams = {.connections = STREAMS,
                                        .duration_us = LOAD_US,
                                        .stream = true,
                                        /* content, finish, [DONE] */
                                        .min_events = pattern->script.chunks + 2};
    pid_t pid = path == PATH_BARE_RELAY ? s->relay.pid : s->stand.child.pid;
    struct load_result r;
    double chunks, rate, cpu_us;
    int64_t cpu;
    int rc;

    s->stand.script = pattern->script;
    cpu = child_cpu_us(pid);
    rc = coordinator_run_load(s, path, streams, &r);
    if (rc < 0)
        return rc;
    chunks = (double)((r.n ? r.n : 1) * (size_t)pattern->script.chunks);
    rate = chunks * 1e6 / (double)r.elapsed_us;
    cpu_us = (double)(child_cpu_us(pid) - cpu) / chunks;
    printf("| %s | %s | **%.0f** | **%.2f** | %zu |", name, pattern->name, rate, cpu_us, r.failed);
    coordinator_print_relay(pattern, path == PATH_BARE_RELAY, rate, cpu_us);
    load_result_free(&r);
    return 0;
}

static int coordinator_relay_rows(struct setup *s, const char *name, enum path path)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < sizeof patterns / sizeof patterns[0]; i++)
        rc = coordinator_relay_row(s, name, path, &patterns[i]);
    return rc;
}

static int coordinator_relay(struct setup *s, const char *loop_name)
{
    return coordinator_relay_rows(s, loop_name, PATH_COORDINATOR);
}

static int coordinator_floor_and_relay(struct setup *s, const char *loop_name)
{
    int rc = coordinator_relay_rows(s, "bare byte relay", PATH_BARE_RELAY);

    return rc < 0 ? rc : coordinator_relay(s, loop_name);
}

typedef int section(struct setup *s, const char *loop_name);

/* A coordinator, a provider and a load of their own for `run`. */
static int coordinator_with_coordinator(const char *program, const char *loop_name, section *run)
{
    struct err e = {0};
    struct setup s;
    int rc;

    stand_pin();
    rc = coordinator_setup_new(program, loop_name, &s, &e);
    if (rc == 0)
        rc = run(&s, loop_name);
    if (rc < 0)
        fprintf(stderr, "darkbloom-bench: %s\n", e.text[0] ? e.text : err_str(rc));
    coordinator_setup_free(&s);
    child_unpin_self();
    fflush(stdout);
    return rc;
}

int bench_latency_section(const char *program)
{
    return coordinator_with_coordinator(program, "uv", coordinator_latency);
}

int bench_requests_section(const char *program)
{
    return coordinator_with_coordinator(program, "uv", coordinator_requests);
}

int bench_relay_section(const char *program)
{
    int rc;

    printf("\n### Relayed chunks, 64 streams of 64 (CPU includes each request's own cost)\n\n"
           "| loop | pattern | chunks/s | CPU µs a chunk | failed | budget | distance |\n"
           "|---|---|---|---|---|---|---|\n");
    rc = coordinator_with_coordinator(program, "uv", coordinator_floor_and_relay);
    return rc < 0 ? rc : coordinator_with_coordinator(program, "epoll", coordinator_relay);
}
