/* SPDX-License-Identifier: Apache-2.0 */
/* Routing in process: a registry with as many providers of one model as the design speaks of, none
 * of which has a socket. What a decision costs, what a whole turn of a request costs (choose, take
 * the slot, give it back judged), what a heartbeat costs, and how large a provider is. */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/budget.h"
#include "bench/sections.h"
#include "coordinator/registry/provider.h"

enum { ROUTING_ROUNDS = 200000, ROUTING_MODEL_SLOTS = 4 };

struct routing_fleet {
    struct loop *loop;
    struct clock clock;
    struct log log;
    struct settings settings;
    struct registry *reg;
    struct model *model;
    struct provider **providers;
    size_t n;
    uint32_t dice;
};

static uint32_t routing_next(struct routing_fleet *f, uint32_t bound)
{
    f->dice ^= f->dice << 13;
    f->dice ^= f->dice >> 17;
    f->dice ^= f->dice << 5;
    return f->dice % bound;
}

static bool routing_nobody_waits(void *ud, struct model *m)
{
    (void)ud;
    (void)m;
    return false;
}

/* As it stands once it has registered and proved its key. */
static struct provider *routing_provider(struct routing_fleet *f)
{
    struct provider *p = calloc(1, sizeof *p);

    if (!p)
        return NULL;
    provider_init(p, f->reg);
    p->state = PROVIDER_REGISTERED;
    p->private_text = p->has_key = true;
    p->challenge.passed = p->challenge.ever_passed = true;
    p->trust = TRUST_SELF_SIGNED;
    p->attested = true;
    p->load = (struct provider_load){.max_running = ROUTING_MODEL_SLOTS,
                                     .pressure_ms = routing_next(f, 3000)};
    (void)snprintf(p->blob.key_hash, sizeof p->blob.key_hash, "%064zx", f->n + 1);
    (void)provider_key_proven(p);
    p->record->breaker.window = BREAKER_WINDOW_MAX;
    p->offers = arena_array(&p->region, struct offer, 2);
    if (!p->offers)
        return p;
    p->offers[p->n_offers++] = (struct offer){.provider = p,
                                              .id = str_from(f->model->id),
                                              .context_length = 8192,
                                              .stream_limit = INT64_MAX,
                                              .place = {.level = -1},
                                              .servable_level = -1,
                                              .listed_level = -1};
    offers_update(p);
    return p;
}

static int routing_fleet_new(struct routing_fleet *f, size_t n)
{
    struct registry_config config = {.log = &f->log,
                                     .rand = rand_system(),
                                     .settings = &f->settings,
                                     .hooks = {.capacity = routing_nobody_waits}};
    struct err e = {0};

    *f = (struct routing_fleet){.dice = 20261126, .log = {.fd = -1}};
    f->settings.min_trust = TRUST_SELF_SIGNED;
    f->providers = calloc(n, sizeof(struct provider *));
    if (!f->providers || loop_epoll_new(&f->loop, &e) < 0)
        return ERR_NOMEM;
    config.loop = f->loop;
    f->clock = loop_clock(f->loop);
    if (registry_new(&config, &f->reg) < 0)
        return ERR_NOMEM;
    f->model = model_add(f->reg, STR("model"));
    while (f->model && f->n < n) {
        f->providers[f->n] = routing_provider(f);
        if (!f->providers[f->n])
            return ERR_NOMEM;
        f->n++;
    }
    return f->model ? 0 : ERR_NOMEM;
}

static void routing_fleet_free(struct routing_fleet *f)
{
    for (size_t i = 0; i < f->n; i++)
        provider_end(f->providers[i], "the bench is over", 0, false);
    if (f->reg)
        loop_defer_remove(f->loop, &f->reg->reap);
    registry_free(f->reg);
    loop_free(f->loop);
    free(f->providers);
}

/* --- what is measured: microseconds each --- */

static double routing_us_each(const struct routing_fleet *f, int64_t since_us)
{
    return (double)(clock_mono_us(&f->clock) - since_us) / ROUTING_ROUNDS;
}

static double routing_decisions(struct routing_fleet *f)
{
    const struct route_ask ask = {.min_trust = TRUST_SELF_SIGNED, .tokens = 1000};
    int64_t start = clock_mono_us(&f->clock);
    size_t found = 0;

    for (int i = 0; i < ROUTING_ROUNDS; i++)
        found += registry_choose(f->model, &ask) != NULL;
    return found == ROUTING_ROUNDS ? routing_us_each(f, start) : -1;
}

/* A request: up to three attempts, of which this share fails; thousands run at once. */
static double routing_requests(struct routing_fleet *f, uint32_t percent_failing)
{
    enum { AT_ONCE = 4096 };
    static struct attempt running[AT_ONCE];
    const struct attempt_result served = {.end = ATTEMPT_SERVED}, fault = {.end = ATTEMPT_FAULT};
    int64_t start = clock_mono_us(&f->clock);

    memset(running, 0, sizeof running);
    for (int i = 0; i < ROUTING_ROUNDS; i++) {
        struct attempt *a = &running[i % AT_ONCE];
        uint64_t tried[3];
        struct route_ask ask = {.min_trust = TRUST_SELF_SIGNED, .exclude = tried};
        struct offer *o;

        registry_detach(a, &served, false);
        *a = (struct attempt){.wire_id = {0}};
        (void)snprintf(a->wire_id, sizeof a->wire_id, "%d", i % AT_ONCE);
        while (ask.n_exclude < 3 && (o = registry_choose(f->model, &ask))) {
            tried[ask.n_exclude++] = offer_provider_serial(o);
            if (registry_attach(a, o) < 0 || routing_next(f, 100) >= percent_failing)
                break;
            registry_detach(a, &fault, false);
        }
    }
    for (size_t i = 0; i < AT_ONCE; i++)
        registry_detach(&running[i], &served, false);
    return routing_us_each(f, start);
}

static double routing_heartbeats(struct routing_fleet *f, bool changing)
{
    int64_t start = clock_mono_us(&f->clock);

    for (int i = 0; i < ROUTING_ROUNDS; i++) {
        struct provider *p = f->providers[routing_next(f, (uint32_t)f->n)];
        struct msg_slot slot = {.model = p->offers[0].id,
                                .state = STR("running"),
                                .num_running = changing ? routing_next(f, 4) : 0};
        const struct msg_heartbeat m = {
            .status = STR("idle"),
            .system_metrics = {.thermal_state = STR("nominal")},
            .has_backend_capacity = true,
            .backend_capacity = {.slots = &slot, .n_slots = 1, .max_running = ROUTING_MODEL_SLOTS}};

        provider_heartbeat(p, &m);
    }
    return routing_us_each(f, start);
}

static int routing_measure(size_t n, double budget_us)
{
    size_t before = mallinfo2().uordblks;
    struct routing_fleet f;
    int rc = routing_fleet_new(&f, n);
    double bytes = (double)(mallinfo2().uordblks - before) / (double)n;
    double decision, request, storm, changing, idle;

    if (rc == 0) {
        decision = routing_decisions(&f);
        request = routing_requests(&f, 0);
        changing = routing_heartbeats(&f, true);
        (void)routing_heartbeats(&f, false);
        idle = routing_heartbeats(&f, false);
        storm = routing_requests(&f, 30);
        printf("| %zu | **%.2f µs** | ≤ %.0f µs | %s | %.2f µs | %.2f µs | %.2f / %.2f µs | %.0f "
               "|\n",
               n, decision, budget_us, budget_at_most(decision, budget_us).text, request, storm,
               changing, idle, bytes);
    }
    routing_fleet_free(&f);
    return rc;
}

int bench_routing_section(void)
{
    int rc;

    printf("\n### Routing, in process, providers of one model\n\n"
           "| providers | decision | budget | distance | a request: choose, take, give back | the "
           "same, 30 %% of attempts failing | heartbeat, changing / idle | bytes a provider, "
           "without its connection |\n|---|---|---|---|---|---|---|---|\n");
    rc = routing_measure(10000, 2);
    if (rc == 0)
        rc = routing_measure(100000, 5);
    if (rc < 0)
        fprintf(stderr, "darkbloom-bench: routing: %s\n", err_str(rc));
    return rc;
}
