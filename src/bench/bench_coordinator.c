/* SPDX-License-Identifier: Apache-2.0 */
/* The coordinator as a process between a load and a null provider. It has core 0; the load, the
 * null provider and the direct upstream share core 1 on one loop. Beside each figure stands what a
 * bare byte relay in its place adds or takes: the floor of this machine in this run. */
#include <stdio.h>
#include <string.h>

#include "bench/bare_relay.h"
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
    struct bare_relay relay;
};

enum path { PATH_DIRECT, PATH_BARE_RELAY, PATH_COORDINATOR };

static int run_load(struct setup *s, enum path path, int connections, int requests,
                    int64_t duration_us, bool stream, struct load_result *ret)
{
    const uint16_t ports[] = {[PATH_DIRECT] = s->upstream_port,
                              [PATH_BARE_RELAY] = s->relay.port,
                              [PATH_COORDINATOR] = s->child.port};
    const struct load_config config = {.loop = s->loop,
                                       .port = ports[path],
                                       .api_key = path == PATH_COORDINATOR ? s->child.key : NULL,
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
        bool ready = run_load(s, PATH_COORDINATOR, 1, 1, 0, true, &r) == 0 && r.n == 1;

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
        rc = loop_epoll_new(&s->loop, e); /* timers to the microsecond */
    if (rc == 0)
        rc = null_upstream_new(s->loop, &s->script, &s->upstream_port, &s->upstream);
    if (rc == 0)
        rc = bare_relay_start(COORDINATOR_CORE, s->upstream_port, &s->relay);
    if (rc == 0)
        rc = null_provider_new(s->loop, s->child.port, &s->script, &s->provider);
    if (rc == 0)
        rc = wait_until_routable(s);
    return rc;
}

static void setup_free(struct setup *s)
{
    bare_relay_stop(&s->relay);
    null_provider_free(s->provider);
    null_upstream_free(s->upstream);
    loop_free(s->loop);
    child_stop(&s->child);
}

/* --- added latency --- */

struct percentiles {
    int64_t p50, p99;
};

static int first_byte(struct setup *s, enum path path, int requests, struct percentiles *ret)
{
    struct load_result r;
    int rc = run_load(s, path, 1, requests, 0, true, &r);

    if (rc == 0 && r.failed > 0)
        rc = ERR_PROTOCOL;
    if (rc == 0)
        *ret = (struct percentiles){load_percentile(r.first_us, r.n, 0.5),
                                    load_percentile(r.first_us, r.n, 0.99)};
    load_result_free(&r);
    return rc;
}

static void latency_row(struct setup *s, const char *name, int64_t first_us, int requests,
                        const char *budget)
{
    struct percentiles direct, bare, through;

    s->script = (struct null_script){.chunks = 1, .first_us = first_us};
    if (first_byte(s, PATH_DIRECT, requests, &direct) < 0 ||
        first_byte(s, PATH_BARE_RELAY, requests, &bare) < 0 ||
        first_byte(s, PATH_COORDINATOR, requests, &through) < 0) {
        printf("| %s | failed | | | | %s |\n", name, budget);
        return;
    }
    printf("| %s | %lld / %lld | %lld / %lld | %lld / %lld | **%lld / %lld** | %s |\n", name,
           (long long)direct.p50, (long long)direct.p99, (long long)(bare.p50 - direct.p50),
           (long long)(bare.p99 - direct.p99), (long long)through.p50, (long long)through.p99,
           (long long)(through.p50 - direct.p50), (long long)(through.p99 - direct.p99), budget);
}

static void latency(struct setup *s, const char *loop_name)
{
    (void)loop_name;
    printf("\n### Added latency to the first token, 1 connection, µs (p50 / p99)\n\n"
           "| provider | direct | a bare byte relay adds | through | **added** | budget |\n"
           "|---|---|---|---|---|---|\n");
    latency_row(s, "20 ms to its first token", 20000, 300, "150 / 300");
    latency_row(s, "instant (waits for the reserve's commit)", 0, 300, "reported");
}

/* --- requests --- */

static void requests(struct setup *s, const char *loop_name)
{
    struct load_result r;
    int64_t cpu;

    (void)loop_name;
    s->script = (struct null_script){.chunks = 1};
    cpu = child_cpu_us(s->child.pid);
    if (run_load(s, PATH_COORDINATOR, 64, 0, 5000000, false, &r) < 0)
        return;
    cpu = child_cpu_us(s->child.pid) - cpu;
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

static void relay_row(struct setup *s, const char *name, enum path path, pid_t pid,
                      const char *what, struct null_script script, const char *budget)
{
    struct load_result r;
    int64_t cpu;
    double chunks;

    s->script = script;
    cpu = child_cpu_us(pid);
    if (run_load(s, path, 64, 0, 5000000, true, &r) < 0)
        return;
    cpu = child_cpu_us(pid) - cpu;
    chunks = (double)(r.n * (size_t)script.chunks);
    printf("| %s | %s | **%.0f** | **%.2f** | %zu | %s |\n", name, what,
           chunks * 1e6 / (double)r.elapsed_us, (double)cpu / chunks, r.failed, budget);
    load_result_free(&r);
}

static const struct {
    const char *name;
    struct null_script script;
    const char *budget;
} patterns[] = {
    {"bursts of 64", {.chunks = 64}, "≥ 200,000/s; ≤ 5 µs"},
    {"paced, one each 20 ms", {.chunks = 64, .first_us = 20000, .pace_us = 20000}, "≤ 13 µs"},
};

static void relay(struct setup *s, const char *loop_name)
{
    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++)
        relay_row(s, loop_name, PATH_COORDINATOR, s->child.pid, patterns[i].name,
                  patterns[i].script, patterns[i].budget);
}

static void floor_and_relay(struct setup *s, const char *loop_name)
{
    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++)
        relay_row(s, "bare byte relay", PATH_BARE_RELAY, s->relay.pid, patterns[i].name,
                  patterns[i].script, "the floor");
    relay(s, loop_name);
}

typedef void section(struct setup *s, const char *loop_name);

/* A coordinator, a provider and a load of their own for `run`. */
static int with_coordinator(const char *program, const char *loop_name, section *run)
{
    struct err e = {0};
    struct setup s;
    int rc;

    if (child_pin_self(LOAD_CORE) < 0)
        printf("\n(The load could not be pinned to core %d: figures are of an unpinned run.)\n",
               LOAD_CORE);
    rc = setup_new(program, loop_name, &s, &e);
    if (rc < 0)
        fprintf(stderr, "darkbloom-bench: %s\n", e.text[0] ? e.text : err_str(rc));
    else
        run(&s, loop_name);
    setup_free(&s);
    child_unpin_self();
    fflush(stdout);
    return rc;
}

int bench_latency_section(const char *program)
{
    return with_coordinator(program, "uv", latency);
}

int bench_requests_section(const char *program)
{
    return with_coordinator(program, "uv", requests);
}

int bench_relay_section(const char *program)
{
    int rc;

    printf("\n### Relayed chunks, 64 streams of 64 (CPU includes each request's own cost)\n\n"
           "| loop | pattern | chunks/s | CPU µs a chunk | failed | budget |\n"
           "|---|---|---|---|---|---|\n");
    rc = with_coordinator(program, "uv", floor_and_relay);
    return rc < 0 ? rc : with_coordinator(program, "epoll", relay);
}
