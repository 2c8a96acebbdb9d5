/* SPDX-License-Identifier: Apache-2.0 */
/* A thousand providers that come at once, and one that fails everything beside two that are full.
 */
#include <stdio.h>
#include <unistd.h>

#include "bench/budget.h"
#include "bench/child.h"
#include "bench/fleet.h"
#include "bench/load.h"
#include "bench/sections.h"
#include "bench/stand.h"

enum {
    MEMBERS = 1000,
    ENOUGH = MEMBERS * 95 / 100,
    LOOK_US = 200000,
    PATIENCE_US = 90000000,
    AFTER_US = 5000000, /* how long the processor is watched once all are there */
    STORM_BUDGET_S = 60
};

struct fleet_stand {
    struct child_config config;
    struct child child;
    struct loop *loop;
    struct clock clock;
    struct fleet *fleet;
};

static void fleet_stop_loop(void *ud)
{
    loop_stop(ud);
}

static void fleet_wait(struct fleet_stand *s, int64_t us)
{
    struct loop_timer timer = {0};

    loop_timer_set(s->loop, &timer, us, fleet_stop_loop, s->loop);
    (void)loop_run(s->loop);
    loop_timer_clear(s->loop, &timer);
}

static double fleet_routable(struct fleet_stand *s)
{
    double n = 0;

    (void)child_gauge(&s->child, "darkbloom_providers_routable", &n); /* no answer yet: 0 */
    return n;
}

static int fleet_stand_new(const char *program, int members, struct fleet_stand *s, struct err *e)
{
    int rc;

    *s = (struct fleet_stand){.config = {.program = program,
                                         .loop_name = "uv",
                                         .core = STAND_COORDINATOR_CORE,
                                         .min_trust = "self_signed",
                                         .metrics = true}};
    stand_pin();
    rc = child_start(&s->config, &s->child, e);
    if (rc == 0)
        rc = loop_epoll_new(&s->loop, e);
    if (rc == 0) {
        s->clock = loop_clock(s->loop);
        rc = fleet_new(s->loop, s->child.port, s->child.dir, members, &s->fleet, e);
    }
    return rc;
}

static void fleet_stand_free(struct fleet_stand *s)
{
    fleet_free(s->fleet);
    loop_free(s->loop);
    child_stop(&s->child);
    child_unpin_self();
    fflush(stdout);
}

/* --- all at once --- */

static double fleet_seconds(const struct fleet_stand *s, int64_t since_us)
{
    return (double)(clock_mono_us(&s->clock) - since_us) / 1e6;
}

/* From `since_us` on until as many are routable as there are; a row of what it took. */
static int fleet_gather(struct fleet_stand *s, const char *what, int64_t since_us)
{
    int64_t cpu = child_cpu_us(s->child.pid), after;
    double half_s = 0, enough_s = 0, all_s = 0, cpu_s;

    while (all_s <= 0 && clock_mono_us(&s->clock) - since_us < PATIENCE_US) {
        double n;

        fleet_wait(s, LOOK_US);
        n = fleet_routable(s);
        if (half_s <= 0 && 2 * n >= MEMBERS)
            half_s = fleet_seconds(s, since_us);
        if (enough_s <= 0 && n >= ENOUGH)
            enough_s = fleet_seconds(s, since_us);
        if (n >= MEMBERS)
            all_s = fleet_seconds(s, since_us);
    }
    after = child_cpu_us(s->child.pid);
    cpu_s = (double)(after - cpu) / 1e6;
    fleet_wait(s, AFTER_US);
    after = child_cpu_us(s->child.pid) - after;
    printf("| %s | %.1f | **%.1f** | %.1f | %.2f | %.1f | ≤ %d s | %s |\n", what, half_s, enough_s,
           all_s, cpu_s, (double)after * 100 / AFTER_US, STORM_BUDGET_S,
           enough_s > 0 ? budget_at_most(enough_s, STORM_BUDGET_S).text : "not reached");
    return enough_s > 0 ? 0 : ERR_TIMEOUT;
}

static int fleet_storm(struct fleet_stand *s, struct err *e)
{
    const struct fleet_script script = {.slots = 4, .chunks = 1};
    int64_t start;
    int rc = 0;

    printf("\n### %d providers of one model, each with a key of its own, self_signed required: "
           "seconds "
           "until so many are routable\n\n"
           "| event | 50 %% | **95 %%** | all | coordinator's CPU s | its CPU afterwards, %% of a "
           "core "
           "| budget | distance |\n|---|---|---|---|---|---|---|---|\n",
           MEMBERS);
    for (int i = 0; rc == 0 && i < MEMBERS; i++) { /* their keys: what follows does not make any */
        rc = fleet_start(s->fleet, i, &script, e);
        fleet_stop(s->fleet, i);
    }
    start = clock_mono_us(&s->clock);
    for (int i = 0; rc == 0 && i < MEMBERS; i++)
        rc = fleet_start(s->fleet, i, &script, e);
    if (rc == 0)
        rc = fleet_gather(s, "they come at once", start);
    start = clock_mono_us(&s->clock);
    if (rc == 0)
        rc = child_restart(&s->config, &s->child, e);
    return rc < 0 ? rc : fleet_gather(s, "the coordinator is killed and starts again", start);
}

/* --- one that fails --- */

enum {
    HEALTHY = 2,
    BROKEN = HEALTHY, /* the last member */
    HEALTHY_SLOTS = 2,
    ASKING = 12,
    PHASE_US = 10000000,
    BROKEN_BUDGET = 10
};

static int fleet_phase(struct fleet_stand *s, const char *what)
{
    const struct load_config load = {.loop = s->loop,
                                     .port = s->child.port,
                                     .api_key = s->child.key,
                                     .connections = ASKING,
                                     .duration_us = PHASE_US};
    struct load_result r = {0};
    int rc = load_run(&load, &r);

    if (rc == 0)
        printf("| %s | %zu | %zu | **%lld** |\n", what, r.n, r.failed,
               (long long)fleet_dispatched(s->fleet, BROKEN));
    load_result_free(&r);
    return rc;
}

static int fleet_start_three(struct fleet_stand *s, struct err *e)
{
    const struct fleet_script healthy = {.slots = HEALTHY_SLOTS, .chunks = 4, .first_us = 20000};
    const struct fleet_script broken = {.slots = 8, .chunks = 1, .fails = true};
    int rc = 0;

    for (int i = 0; rc == 0 && i < HEALTHY; i++)
        rc = fleet_start(s->fleet, i, &healthy, e);
    if (rc == 0)
        rc = fleet_start(s->fleet, BROKEN, &broken, e);
    for (int i = 0; rc == 0 && i < 100 && fleet_routable(s) < HEALTHY; i++)
        fleet_wait(s, LOOK_US);
    return rc;
}

static int fleet_broken(struct fleet_stand *s, struct err *e)
{
    int64_t start = clock_mono_us(&s->clock);
    int64_t allowed;
    int rc = fleet_start_three(s, e);

    printf("\n### One provider that fails everything beside two that are full, %d requests at a "
           "time\n\n"
           "| | answered | failed | dispatched to the broken one so far |\n|---|---|---|---|\n",
           ASKING);
    if (rc == 0)
        rc = fleet_phase(s, "from its first registration");
    if (rc == 0) { /* a new connection and a new session key, the same signing key */
        const struct fleet_script broken = {.slots = 8, .chunks = 1, .fails = true};

        rc = fleet_start(s->fleet, BROKEN, &broken, e);
    }
    if (rc == 0)
        rc = fleet_phase(s, "after its reconnect");
    if (rc == 0)
        rc = child_restart(&s->config, &s->child, e);
    for (int i = 0; rc == 0 && i < 100 && fleet_routable(s) < HEALTHY; i++)
        fleet_wait(s, LOOK_US);
    if (rc == 0)
        rc = fleet_phase(s, "after the coordinator's restart");
    if (rc < 0)
        return rc;
    allowed = BROKEN_BUDGET + (clock_mono_us(&s->clock) - start) / 30000000;
    printf("\nAllowed: %d, then one in 30 s, so %lld: %s.\n", BROKEN_BUDGET, (long long)allowed,
           budget_at_most((double)fleet_dispatched(s->fleet, BROKEN), (double)allowed).text);
    return 0;
}

typedef int fleet_section(struct fleet_stand *s, struct err *e);

static int fleet_with(const char *program, int members, fleet_section *run)
{
    struct err e = {0};
    struct fleet_stand s;
    int rc = fleet_stand_new(program, members, &s, &e);

    if (rc == 0)
        rc = run(&s, &e);
    if (rc < 0)
        fprintf(stderr, "darkbloom-bench: %s\n", e.text[0] ? e.text : err_str(rc));
    fleet_stand_free(&s);
    return rc;
}

int bench_fleet_section(const char *program)
{
    int rc = fleet_with(program, MEMBERS, fleet_storm);

    return rc < 0 ? rc : fleet_with(program, HEALTHY + 1, fleet_broken);
}
