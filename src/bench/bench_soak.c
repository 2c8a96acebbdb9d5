/* SPDX-License-Identifier: Apache-2.0 */
/* Providers and consumers that come and go at random for SOAK_MINUTES: whether the coordinator's
 * memory stays flat, every request ends, and the ledger balances. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/rand.h"
#include "bench/child.h"
#include "bench/fleet.h"
#include "bench/load.h"
#include "bench/sections.h"
#include "bench/stand.h"
#include "bench/visitor.h"

enum {
    MINUTES = 30, /* unless SOAK_MINUTES says otherwise */
    MEMBERS = 12,
    VISITORS_MAX = 48,
    TICK_US = 100000,
    SETTLE_US = 3000000,  /* at the end, for what still runs and is settled */
    STUCK_US = 120000000, /* a visit that lasts longer is stuck: twice what the longest may take */
    GROWTH_PERCENT = 10,
    GROWTH_KIB = 4096
};

struct soak {
    struct child_config config;
    struct child child;
    struct loop *loop;
    struct clock clock;
    struct fleet *fleet;
    struct rand_src rand;
    struct visitors visitors;
    struct loop_timer tick;
    int64_t end_us;
    int64_t *resident_kib; /* one a tick */
    size_t n, cap;
    int64_t comings, goings, leavings;
    bool stuck;
};

static bool soak_one_in(struct soak *s, uint32_t n)
{
    return rand_below(&s->rand, n) == 0;
}

/* --- providers --- */

static struct fleet_script soak_script(struct soak *s)
{
    struct fleet_script script = {.slots = 1 + rand_below(&s->rand, 6),
                                  .chunks = 1 + (int)rand_below(&s->rand, 60),
                                  .first_us = rand_below(&s->rand, 300000),
                                  .pace_us = rand_below(&s->rand, 2) * 5000,
                                  .fails = soak_one_in(s, 15)};

    if (soak_one_in(s, 20)) /* slow: its answers are cut by the limits */
        script.first_us = 20000000;
    return script;
}

static void soak_provider(struct soak *s)
{
    int i = (int)rand_below(&s->rand, MEMBERS);

    if (!fleet_is_started(s->fleet, i)) {
        const struct fleet_script script = soak_script(s);

        s->comings += fleet_start(s->fleet, i, &script, NULL) == 0;
    } else if (soak_one_in(s, 2)) {
        fleet_leave(s->fleet, i);
        s->leavings++;
    } else {
        fleet_stop(s->fleet, i);
        s->goings++;
    }
}

/* --- consumers --- */

static void soak_visitor(struct soak *s)
{
    struct visit visit = {.loop = s->loop,
                          .port = s->child.port,
                          .api_key = s->child.key,
                          .stream = !soak_one_in(s, 3),
                          .max_tokens = 1 + (int)rand_below(&s->rand, 100),
                          .bad_body = soak_one_in(s, 40)};

    if (soak_one_in(s, 4))
        visit.leave_after_us = rand_below(&s->rand, 1500000);
    if (soak_one_in(s, 60))
        visit.api_key = "sk-unknown";
    (void)visitor_come(&s->visitors, &visit); /* without memory one fewer comes */
}

/* --- the course of time --- */

static void soak_sample(struct soak *s)
{
    if (s->n < s->cap)
        s->resident_kib[s->n++] = child_resident_kib(s->child.pid);
}

static void soak_tick(void *ud)
{
    struct soak *s = ud;
    int64_t now = clock_mono_us(&s->clock);

    s->stuck |= visitors_oldest_us(&s->visitors) > STUCK_US;
    if (now < s->end_us) {
        soak_sample(s);
        if (soak_one_in(s, 5))
            soak_provider(s);
        for (uint32_t n = rand_below(&s->rand, 6); n > 0 && s->visitors.n < VISITORS_MAX; n--)
            soak_visitor(s);
    } else if (now > s->end_us + SETTLE_US && s->visitors.n == 0) {
        loop_stop(s->loop);
        return;
    } else if (now > s->end_us + STUCK_US + SETTLE_US) {
        loop_stop(s->loop);
        return;
    }
    loop_timer_set(s->loop, &s->tick, TICK_US, soak_tick, s);
}

/* --- what came of it --- */

/* The median of the `third`th of the samples (0 to 2). */
static double soak_third_mib(struct soak *s, size_t third)
{
    size_t n = s->n / 3;

    return (double)load_percentile(s->resident_kib + third * n, n, 0.5) / 1024;
}

static double soak_gauge(const struct soak *s, const char *name)
{
    double value = -1;

    (void)child_gauge(&s->child, name, &value);
    return value;
}

/* The line "open holds   0" of `ledger check`. */
static bool soak_has_no_holds(const char *report)
{
    static const char label[] = "\nopen holds  ";
    const char *line = strstr(report, label);

    return line && strtol(line + sizeof label - 1, NULL, 10) == 0;
}

/* 0 where every check holds. */
static int soak_judge(struct soak *s)
{
    static const char *const check[] = {"ledger", "check", NULL};
    double first = soak_third_mib(s, 0), last = soak_third_mib(s, 2);
    bool flat = last <= first * (1 + GROWTH_PERCENT / 100.0) + GROWTH_KIB / 1024.0;
    double running = soak_gauge(s, "darkbloom_requests_running");
    double waiting = soak_gauge(s, "darkbloom_requests_waiting");
    bool none_stuck = !s->stuck && s->visitors.n == 0 && !(running > 0) && !(waiting > 0);
    char report[4096] = "";
    bool balanced =
        child_command(s->config.program, &s->child, check, report, sizeof report) == 0 &&
        soak_has_no_holds(report);

    printf("| providers came / stopped / vanished | %lld / %lld / %lld |\n", (long long)s->comings,
           (long long)s->leavings, (long long)s->goings);
    printf("| requests answered / refused / left by the consumer / broken | %lld / %lld / %lld / "
           "%lld |\n",
           (long long)s->visitors.ended[VISIT_ANSWERED],
           (long long)s->visitors.ended[VISIT_REFUSED], (long long)s->visitors.ended[VISIT_LEFT],
           (long long)s->visitors.ended[VISIT_BROKEN]);
    printf("| the longest visit, s | %.1f |\n", (double)s->visitors.longest_us / 1e6);
    printf("| resident MiB, median of the first / last third | %.1f / %.1f: **%s** |\n", first,
           last, flat ? "flat" : "it grows");
    printf(
        "| requests that have not ended: visits / running / waiting | %d / %.0f / %.0f: **%s** |\n",
        s->visitors.n, running, waiting, none_stuck ? "none stuck" : "stuck");
    printf("| `ledger check` | **%s** |\n", balanced ? "balanced" : "out of balance");
    if (!balanced)
        fputs(report, stderr);
    return flat && none_stuck && balanced ? 0 : ERR_INTERNAL;
}

static int soak_new(const char *program, int minutes, struct soak *s, struct err *e)
{
    int rc;

    *s = (struct soak){.config = {.program = program,
                                  .loop_name = "uv",
                                  .core = STAND_COORDINATOR_CORE,
                                  .min_trust = "self_signed",
                                  .metrics = true},
                       .rand = rand_system()};
    visitors_init(&s->visitors);
    stand_pin();
    s->cap = (size_t)minutes * 60 * 1000000 / TICK_US + 1;
    s->resident_kib = calloc(s->cap, sizeof *s->resident_kib);
    rc = s->resident_kib ? child_start(&s->config, &s->child, e) : ERR_NOMEM;
    if (rc == 0)
        rc = loop_epoll_new(&s->loop, e);
    if (rc < 0)
        return rc;
    s->clock = loop_clock(s->loop);
    s->end_us = clock_mono_us(&s->clock) + (int64_t)minutes * 60 * 1000000;
    return fleet_new(s->loop, s->child.port, s->child.dir, MEMBERS, &s->fleet, e);
}

static void soak_free(struct soak *s)
{
    visitors_free(&s->visitors);
    fleet_free(s->fleet);
    loop_free(s->loop);
    child_stop(&s->child);
    free(s->resident_kib);
    child_unpin_self();
    fflush(stdout);
}

int bench_soak_section(const char *program)
{
    const char *wanted = getenv("SOAK_MINUTES");
    int minutes = wanted ? (int)strtol(wanted, NULL, 10) : MINUTES;
    struct err e = {0};
    struct soak s;
    int rc;

    if (minutes < 1 || minutes > 24 * 60) {
        fprintf(stderr, "darkbloom-bench: SOAK_MINUTES must be 1 to 1440\n");
        return ERR_USAGE;
    }
    printf("\n### %d minutes of providers and consumers coming and going at random\n\n| | "
           "|\n|---|---|\n",
           minutes);
    rc = soak_new(program, minutes, &s, &e);
    if (rc == 0) {
        loop_timer_set(s.loop, &s.tick, TICK_US, soak_tick, &s);
        rc = loop_run(s.loop);
        loop_timer_clear(s.loop, &s.tick);
    }
    if (rc == 0)
        rc = soak_judge(&s);
    if (rc < 0)
        fprintf(stderr, "darkbloom-bench: %s\n", e.text[0] ? e.text : err_str(rc));
    soak_free(&s);
    return rc;
}
