/* SPDX-License-Identifier: Apache-2.0 */
/* What the coordinator executes, counted. Each row is two runs that differ only in how much is
 * asked for; the difference leaves start-up, warming up and the stopping out. The requests come one
 * after another over one connection, so that what is batched depends on no other request. */
#include <inttypes.h>
#include <stdio.h>

#include "bench/budget.h"
#include "bench/sections.h"
#include "bench/stand.h"

struct amount {
    int requests;
    int chunks; /* in each answer */
};

struct row {
    const char *name;
    struct amount less, more;
    bool stream;
    int64_t first_us, pace_us;
    /* All and the program's own at commit 51f0811: gcc 12.2 -O2, Debian 12's libraries, x86-64 with
     * AVX2, mean of five runs. Between runs "all" differs by up to 2 % (when SQLite checkpoints,
     * how often buffers are cleared), the program's own part by 0.3 %. */
    double budget, ours_budget;
};

/* Paced at 5 ms so that the coordinator, 50 times slower than it is, handles each chunk alone. */
static const struct row rows[] = {
    {"a request, not streamed", {200, 1}, {400, 1}, false, 0, 0, 1146000, 105800},
    {"a request, streamed", {200, 1}, {400, 1}, true, 0, 0, 1137000, 106300},
    {"a relayed chunk, in a burst", {40, 64}, {40, 128}, true, 0, 0, 15090, 6020},
    {"a relayed chunk, paced", {16, 64}, {16, 128}, true, 5000, 5000, 14660, 6240},
};

static int instructions_load(struct stand *s, const struct row *row, struct amount amount)
{
    const struct load_config load = {.connections = 1,
                                     .requests = amount.requests,
                                     .stream = row->stream,
                                     /* content, finish, [DONE] */
                                     .min_events = row->stream ? amount.chunks + 2 : 0};
    struct load_result r = {0};
    int rc;

    s->script = (struct null_script){amount.chunks, row->first_us, row->pace_us};
    rc = stand_load(s, load, &r);
    if (rc == 0 && (r.failed > 0 || r.n != (size_t)amount.requests))
        rc = ERR_PROTOCOL;
    load_result_free(&r);
    return rc;
}

static int instructions_of(const char *program, const struct row *row, struct amount amount,
                           struct callgrind_counts *ret_counts)
{
    const struct child_config config = {.program = program,
                                        .loop_name = "uv",
                                        .core = STAND_COORDINATOR_CORE,
                                        .count_instructions = true};
    struct err e = {0};
    struct stand s;
    int rc = stand_new(&config, &s, &e);

    if (rc == 0)
        rc = instructions_load(&s, row, amount);
    child_finish(&s.child);
    if (rc == 0)
        rc = child_instructions(&s.child, program, ret_counts);
    if (rc < 0)
        fprintf(stderr, "darkbloom-bench: %s\n", e.text[0] ? e.text : err_str(rc));
    stand_free(&s);
    return rc;
}

static double instructions_each(const struct callgrind_counts *less,
                                const struct callgrind_counts *more, enum callgrind_part part,
                                int units)
{
    return (double)(more->part[part] - less->part[part]) / units;
}

static int instructions_row(const char *program, const struct row *row)
{
    int units = row->more.requests * row->more.chunks - row->less.requests * row->less.chunks;
    struct callgrind_counts less = {0}, more = {0};
    double each, ours;
    int rc = instructions_of(program, row, row->less, &less);

    if (rc == 0)
        rc = instructions_of(program, row, row->more, &more);
    if (rc < 0)
        return rc;
    each = (double)(callgrind_total(&more) - callgrind_total(&less)) / units;
    ours = instructions_each(&less, &more, CALLGRIND_OURS, units);
    printf("| %s | **%.0f** | **%.0f** | %.0f | %.0f | %.0f | ≤ %.0f; ≤ %.0f | %s; %s |\n",
           row->name, each, ours, instructions_each(&less, &more, CALLGRIND_SQLITE, units),
           instructions_each(&less, &more, CALLGRIND_CRYPTO, units),
           instructions_each(&less, &more, CALLGRIND_OTHER, units), row->budget, row->ours_budget,
           budget_at_most(each, row->budget).text, budget_at_most(ours, row->ours_budget).text);
    return 0;
}

int bench_instructions_section(const char *program)
{
    int rc = 0;

    printf(
        "\n### Instructions the coordinator executes (callgrind, all threads)\n\n"
        "| for | all | the program's own | SQLite | cryptography | others | at 51f0811 | distance "
        "|\n|---|---|---|---|---|---|---|---|\n");
    stand_pin();
    for (size_t i = 0; rc == 0 && i < sizeof rows / sizeof rows[0]; i++)
        rc = instructions_row(program, &rows[i]);
    child_unpin_self();
    fflush(stdout);
    return rc;
}
