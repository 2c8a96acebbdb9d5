/* SPDX-License-Identifier: Apache-2.0 */
/* What more event loops bring: requests and chunks a second of a coordinator with 1, 2, 4 … loops
 * under the same load, one coordinator after another. The coordinator has processors of its own,
 * two for each loop of the largest count (itself, and who makes its session keys) and one for the
 * store; the load has all others, a process each. How busy each side was stands beside the rates:
 * where the load is, its rate is the limit.
 *
 *     BENCH_LOOPS="1 2 4 8"  these counts, whatever the machine has */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/budget.h"
#include "bench/crowd.h"
#include "bench/processors.h"
#include "bench/sections.h"

enum {
    COUNTS_MAX = 8,
    CONNECTIONS = 512, /* of the whole load */
    PROVIDERS = 32,
    LOAD_US = 5000000,
    EACH_LOOP_NEEDS = 3, /* processors: its own, and two for the load that keeps it busy */
    BUDGET_AT = 4
};

#define BUDGET_RATIO 3.0

struct loops_stand {
    const char *program;
    struct processors all;
    int counts[COUNTS_MAX], n_counts, most; /* loops */
    int coordinators, workers;              /* processors of the one, processes of the other */
    struct child child;
    struct crowd crowd;
    char keys[CROWD_MAX][CHILD_KEY_BYTES];
};

struct loops_kind {
    const char *unit;
    int per_request; /* units */
    struct crowd_load load;
    double base; /* rate with one loop; 0: not measured */
};

/* --- who runs where --- */

static void loops_add_count(struct loops_stand *s, int loops)
{
    if (s->n_counts == COUNTS_MAX || loops < 1 || loops > 64)
        return;
    s->counts[s->n_counts++] = loops;
    s->most = loops > s->most ? loops : s->most;
}

static void loops_choose_counts(struct loops_stand *s)
{
    const char *asked = getenv("BENCH_LOOPS");
    char *end;

    if (asked) {
        for (long n = strtol(asked, &end, 10); end != asked; n = strtol(asked, &end, 10)) {
            loops_add_count(s, (int)n);
            asked = end;
        }
        return;
    }
    for (int n = 1; n <= 16; n *= 2) {
        if (n == 1 || EACH_LOOP_NEEDS * n + 1 <= s->all.n)
            loops_add_count(s, n);
    }
}

static void loops_share_processors(struct loops_stand *s)
{
    const int wanted = 2 * s->most + 1;
    int rest = s->all.n - wanted;

    s->coordinators = rest > 0 ? wanted : 0; /* 0: everybody runs everywhere */
    s->workers = rest > 0 ? rest : 1;
    s->workers = s->workers > CROWD_MAX ? CROWD_MAX : s->workers;
}

/* --- one coordinator --- */

static int loops_make_keys(struct loops_stand *s, struct err *e)
{
    int rc = 0;

    for (int i = 0; rc == 0 && i < s->workers; i++) {
        char account[32];

        snprintf(account, sizeof account, "bench-%d", i);
        rc = child_make_key(s->program, &s->child, account, s->keys[i], e);
    }
    return rc;
}

static int loops_start(struct loops_stand *s, int loops, struct err *e)
{
    char count[8];
    const char *const args[] = {"--loops", count, NULL};
    const struct child_config config = {
        .program = s->program, .loop_name = "uv", .core = -1, .args = args};
    struct crowd_config crowd = {.n = s->workers};
    int rc;

    snprintf(count, sizeof count, "%d", loops);
    processors_take(&s->all, 0, s->coordinators);
    rc = child_start(&config, &s->child, e);
    processors_take(&s->all, s->coordinators, s->coordinators ? s->all.n - s->coordinators : 0);
    if (rc == 0)
        rc = loops_make_keys(s, e);
    if (rc < 0)
        return rc;
    crowd.port = s->child.port;
    crowd.providers_each = (PROVIDERS + s->workers - 1) / s->workers;
    for (int i = 0; i < s->workers; i++)
        crowd.keys[i] = s->keys[i];
    return crowd_new(&crowd, &s->crowd, e);
}

/* In order, so that the last settlements are in the store; then it must balance. */
static int loops_stop(struct loops_stand *s, struct err *e)
{
    static const char *const check[] = {"ledger", "check", NULL};
    char out[4096];
    int status = 0;

    crowd_free(&s->crowd);
    child_finish(&s->child);
    if (s->child.dir[0])
        status = child_command(s->program, &s->child, check, out, sizeof out);
    child_stop(&s->child);
    return status == 0 ? 0 : err_set(e, ERR_IO, "the ledger is out of balance");
}

/* --- a row --- */

static int loops_row(struct loops_stand *s, int loops, struct loops_kind *kind)
{
    pid_t pid = s->child.pid;
    struct crowd_load load = kind->load;
    struct crowd_result r;
    double rate, ratio, all_us, store_us, units;
    int rc;

    load.connections = (CONNECTIONS + s->workers - 1) / s->workers;
    all_us = -(double)child_cpu_us(pid);
    store_us = -(double)processors_thread_us(pid, "store");
    rc = crowd_run(&s->crowd, &load, &r);
    if (rc < 0)
        return rc;
    all_us += (double)child_cpu_us(pid);
    store_us += (double)processors_thread_us(pid, "store");
    units = (double)(r.n ? r.n : 1) * kind->per_request;
    rate = r.rate * kind->per_request;
    if (loops == 1)
        kind->base = rate;
    ratio = kind->base > 0 ? rate / kind->base : 0;
    printf("| %d | %s | **%.0f** | **%.2f** | %.1f / %.1f | %.0f / %.0f / %.0f | %.1f / %.1f | "
           "%lld |",
           loops, kind->unit, rate, ratio, (all_us - store_us) / units, store_us / units,
           (all_us - store_us) * 100 / (double)r.elapsed_us / loops,
           store_us * 100 / (double)r.elapsed_us,
           (double)r.cpu_us * 100 / (double)r.elapsed_us / s->workers, (double)r.p50_us / 1000,
           (double)r.p99_us / 1000, (long long)r.failed);
    if (loops == BUDGET_AT && kind->base > 0)
        printf(" ≥ %.0f times | %s |\n", BUDGET_RATIO, budget_at_least(ratio, BUDGET_RATIO).text);
    else
        printf(" reported | |\n");
    return 0;
}

static int loops_measure(struct loops_stand *s, int loops, struct loops_kind *kinds, int n_kinds)
{
    struct err e = {0}, unbalanced = {0};
    int rc = loops_start(s, loops, &e), stop_rc;

    for (int i = 0; rc == 0 && i < n_kinds; i++)
        rc = loops_row(s, loops, &kinds[i]);
    stop_rc = loops_stop(s, &unbalanced);
    if (rc < 0)
        fprintf(stderr, "darkbloom-bench: %s\n", e.text[0] ? e.text : err_str(rc));
    else if (stop_rc < 0)
        fprintf(stderr, "darkbloom-bench: %s\n", unbalanced.text);
    fflush(stdout);
    return rc < 0 ? rc : stop_rc;
}

int bench_loops_section(const char *program)
{
    struct loops_kind kinds[] = {
        {.unit = "requests/s",
         .per_request = 1,
         .load = {.script = {.chunks = 1}, .duration_us = LOAD_US}},
        {.unit = "chunks/s, bursts of 64",
         .per_request = 64,
         /* content, finish, [DONE] */
         .load =
             {.script = {.chunks = 64}, .duration_us = LOAD_US, .stream = true, .min_events = 66}},
    };
    struct loops_stand *s = calloc(1, sizeof *s);
    int rc = s ? 0 : ERR_NOMEM;

    if (!s)
        return rc;
    s->program = program;
    processors_look(&s->all);
    loops_choose_counts(s);
    loops_share_processors(s);
    printf(
        "\n### Event loops: %d processors on %d cores, %d of them the coordinator's, %d load "
        "processes, %d connections\n\n"
        "| loops | what | **a second** | **times one loop** | CPU µs each: loops / store | busy, "
        "%%: loops / store / load | p50 / p99 ms of a request | failed | budget | distance |\n"
        "|---|---|---|---|---|---|---|---|---|---|\n",
        s->all.n, s->all.n_cores, s->coordinators ? s->coordinators : s->all.n, s->workers,
        CONNECTIONS);
    if (!getenv("BENCH_LOOPS") && s->most < BUDGET_AT)
        printf("(%d loops and more need %d processors; BENCH_LOOPS=\"1 2 4\" runs them anyway.)\n",
               2 * s->most, EACH_LOOP_NEEDS * 2 * s->most + 1);
    for (int i = 0; rc == 0 && i < s->n_counts; i++)
        rc = loops_measure(s, s->counts[i], kinds, sizeof kinds / sizeof kinds[0]);
    processors_take(&s->all, 0, 0);
    free(s);
    return rc;
}
