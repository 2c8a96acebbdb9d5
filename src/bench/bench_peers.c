/* SPDX-License-Identifier: Apache-2.0 */
/* The whole product beside llama-server, which consumers ask directly: the same model, prompts and
 * processors, round by round in turn, over HTTP with server-sent events. Options are variables of
 * the environment (sections.h). */
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/budget.h"
#include "bench/load.h"
#include "bench/peers_cases.h"
#include "bench/sections.h"

enum {
    ROUNDS_MAX = 16,
    STREAM_COUNTS_MAX = 8,
    LATENCY_STREAMS = 4,
    PATH_BYTES = 512,
    WARM_WORDS = 4,
    TRIES = 4,
    SEEDS_A_TRY = 200, /* more than any case takes */
    BODY_MAX_BYTES = 1 << 16
};

struct peers_options {
    struct peers_config config;
    int streams[STREAM_COUNTS_MAX];
    int n_streams, slots; /* slots 0: as many as streams */
    int rounds;
    int64_t new_tokens;
    char provider[PATH_BYTES];
};

/* How a figure is judged. */
enum peers_judge {
    JUDGE_NONE,
    JUDGE_RATIO_AT_LEAST, /* the product's by the server's */
    JUDGE_RATIO_AT_MOST,
    JUDGE_AT_LEAST, /* the product's own */
    JUDGE_AT_MOST
};

struct peers_row {
    const char *name; /* "#": the case's argument. NULL: no row */
    const char *unit;
    bool high_is_good;
    enum peers_judge judge;
    double budget;
};

struct peers_plan {
    peers_case *run;
    int64_t arg;
    struct peers_row rows[PEERS_FIGURES_MAX];
};

static const struct peers_plan peers_rate_plan = {
    peers_case_rate,
    0,
    {{"tokens a second, # streams, steady", "/s", true, JUDGE_RATIO_AT_LEAST, 1.0},
     {"the same, prompts included", "/s", true, JUDGE_NONE, 0}}};

static const struct peers_plan peers_latency_plans[] = {
    {peers_case_first, 128, {{"first token, prompt of #", " s", false, JUDGE_NONE, 0}}},
    {peers_case_first,
     1000,
     {{"first token, prompt of #", " s", false, JUDGE_RATIO_AT_MOST, 1.05}}},
    {peers_case_first,
     1800,
     {{"first token, prompt of #", " s", false, JUDGE_RATIO_AT_MOST, 1.05}}},
    {peers_case_beside,
     1500,
     {{"worst gap of an answer while a prompt of # comes", " s", false, JUDGE_AT_MOST, 0.25},
      {"that prompt's first token", " s", false, JUDGE_RATIO_AT_MOST, 1.5}}},
    {peers_case_prefix,
     1000,
     {{"first # tokens as before: first token sooner by, same key", " ×", true, JUDGE_AT_LEAST, 5},
      {"the same, another account's key", " ×", false, JUDGE_AT_MOST, 1.2},
      {"first token of the same key's", " s", false, JUDGE_NONE, 0}}},
    {peers_case_cancel,
     64,
     {{"one of 4 leaves: first token of a prompt of # that waited", " s", false, JUDGE_NONE, 0}}},
};

/* --- options --- */

static const char *peers_env(const char *name, const char *otherwise)
{
    const char *value = getenv(name);

    return value && *value ? value : otherwise;
}

static int peers_env_number(const char *name, int otherwise, int max)
{
    long n = strtol(peers_env(name, "0"), NULL, 10);

    return n < 1 || n > max ? otherwise : (int)n;
}

static void peers_read_streams(struct peers_options *o)
{
    const char *at = peers_env("PEERS_STREAMS", "1 4 8 16");
    char *end;

    for (; o->n_streams < STREAM_COUNTS_MAX; at = end) {
        long n = strtol(at, &end, 10);

        if (end == at)
            return;
        if (n > 0 && n <= 64)
            o->streams[o->n_streams++] = (int)n;
        end += *end == ',';
    }
}

static int peers_read_options(const char *coordinator, struct peers_options *o)
{
    char dir[PATH_BYTES];

    snprintf(dir, sizeof dir, "%s", coordinator);
    snprintf(o->provider, sizeof o->provider, "%.480s/darkbloom", dirname(dir));
    o->config =
        (struct peers_config){.coordinator = coordinator,
                              .provider = o->provider,
                              .server = peers_env("PEERS_SERVER", "deps/peers/bin/llama-server"),
                              .model = peers_env("PEERS_MODEL", ""),
                              .context_tokens = peers_env_number("PEERS_CONTEXT", 2048, 1 << 20),
                              .provider_args = peers_env("PEERS_PROVIDER_ARGS", NULL),
                              .server_args = peers_env("PEERS_SERVER_ARGS", NULL)};
    o->slots = peers_env_number("PEERS_SLOTS", 0, 64);
    o->rounds = peers_env_number("PEERS_ROUNDS", 3, ROUNDS_MAX);
    o->new_tokens = peers_env_number("PEERS_TOKENS", 256, 1 << 16);
    peers_read_streams(o);
    if (access(o->config.server, X_OK) == 0)
        return 0;
    fprintf(stderr,
            "darkbloom-bench: no llama-server at %s; run `make bench PEERS=1`, or name one with "
            "PEERS_SERVER\n",
            o->config.server);
    return ERR_NOT_FOUND;
}

/* --- figures --- */

struct peers_samples {
    int64_t millionths[ROUNDS_MAX];
    size_t n;
};

struct peers_table {
    struct peers_samples of[PEERS_FIGURES_MAX][PEERS_SIDES];
    int failed[PEERS_SIDES];
};

static double peers_at(struct peers_samples *s, double share)
{
    return (double)load_percentile(s->millionths, s->n, share) / 1e6;
}

static void peers_print_figure(struct peers_samples *s, const struct peers_row *row, int failed)
{
    int digits = peers_at(s, 0.5) < 10 ? 3 : 1;

    if (s->n == 0)
        printf(" —");
    else
        printf(" %.*f%s (%.*f)", digits, peers_at(s, 0.5), row->unit, digits,
               peers_at(s, row->high_is_good ? 1 : 0));
    if (failed)
        printf(", %d failed", failed);
    printf(" |");
}

static void peers_print_budget(const struct peers_row *row, double ratio, double own)
{
    bool at_least = row->judge == JUDGE_RATIO_AT_LEAST || row->judge == JUDGE_AT_LEAST;
    bool is_ratio = row->judge == JUDGE_RATIO_AT_LEAST || row->judge == JUDGE_RATIO_AT_MOST;
    double measured = is_ratio ? ratio : own;

    if (row->judge == JUDGE_NONE)
        printf(" reported | |\n");
    else
        printf(" %s %.2f%s | %s |\n", at_least ? "≥" : "≤", row->budget,
               is_ratio ? " ×" : row->unit,
               measured <= 0 ? "not measured"
               : at_least    ? budget_at_least(measured, row->budget).text
                             : budget_at_most(measured, row->budget).text);
}

static void peers_print_name(const struct peers_plan *plan, const char *name)
{
    int n = (int)strcspn(name, "#");

    printf("| %.*s", n, name);
    if (name[n])
        printf("%lld%s", (long long)plan->arg, name + n + 1);
    printf(" |");
}

static void peers_print_row(const struct peers_plan *plan, int i, struct peers_table *t)
{
    const struct peers_row *row = &plan->rows[i];
    struct peers_samples *of = t->of[i];
    double best = row->high_is_good ? 1 : 0, ratio = 0;

    peers_print_name(plan, row->name);
    for (enum peers_side side = 0; side < PEERS_SIDES; side++)
        peers_print_figure(&of[side], row, t->failed[side]);
    if (of[PEERS_PRODUCT].n && of[PEERS_SERVER].n) {
        ratio = peers_at(&of[PEERS_PRODUCT], 0.5) / peers_at(&of[PEERS_SERVER], 0.5);
        printf(" **%.2f** (%.2f) |", ratio,
               peers_at(&of[PEERS_PRODUCT], best) / peers_at(&of[PEERS_SERVER], best));
    } else {
        printf(" — |");
    }
    peers_print_budget(row, ratio, peers_at(&of[PEERS_PRODUCT], 0.5));
}

/* --- rounds --- */

static void peers_take(struct peers_table *t, enum peers_side side, const double *figures)
{
    for (int i = 0; i < PEERS_FIGURES_MAX; i++) {
        struct peers_samples *s = &t->of[i][side];

        s->millionths[s->n++] = (int64_t)(figures[i] * 1e6);
    }
}

/* Each side's processors, caches and connection are awake before it is measured. A small model ends
 * some answers where it should not: another prompt of that length is as good. */
static int peers_round(struct peers_cases *c, const struct peers_plan *plan, enum peers_side side,
                       uint64_t seed, struct peers_table *t)
{
    double figures[PEERS_FIGURES_MAX] = {0};
    int rc = ERR_PROTOCOL;

    peers_turn(c->peers, side);
    for (int i = 0; rc == ERR_PROTOCOL && i < TRIES; i++, seed += SEEDS_A_TRY) {
        rc = peers_case_first(c, side, seed + SEEDS_A_TRY / 2,
                              c->prompts.overhead_tokens + WARM_WORDS, figures);
        if (rc == 0)
            rc = plan->run(c, side, seed, plan->arg, figures);
    }
    if (rc == 0)
        peers_take(t, side, figures);
    else
        t->failed[side]++;
    return rc == ERR_NOMEM || rc == ERR_TIMEOUT ? rc : 0;
}

static int peers_measure(struct peers_cases *c, const struct peers_plan *plan, int rounds)
{
    static uint64_t cases; /* no two cases share prompts */
    struct peers_table *t = calloc(1, sizeof *t);
    int rc = t ? 0 : ERR_NOMEM;

    cases++;
    for (int round = 0; rc == 0 && round < rounds; round++) {
        enum peers_side first = round % 2 ? PEERS_SERVER : PEERS_PRODUCT;
        uint64_t seed = (cases * ROUNDS_MAX + (uint64_t)round) * TRIES * SEEDS_A_TRY;

        rc = peers_round(c, plan, first, seed, t);
        if (rc == 0)
            rc = peers_round(c, plan, first == PEERS_PRODUCT ? PEERS_SERVER : PEERS_PRODUCT, seed,
                             t);
    }
    for (int i = 0; rc == 0 && i < PEERS_FIGURES_MAX && plan->rows[i].name; i++)
        peers_print_row(plan, i, t);
    free(t);
    return rc;
}

/* --- the section --- */

struct peers_totals {
    int64_t idle_us, idle_cpu_us, worst_off_tokens, shortest_tokens;
    bool may_bias;
};

static int peers_open(const struct peers_config *config, struct peers_cases *c, struct err *ret_err)
{
    const struct peers_ask ask = {.tokens = WARM_WORDS, .max_tokens = 1};
    struct buf body;
    int rc;

    buf_init(&body, BODY_MAX_BYTES);
    rc = peers_body(&c->prompts, &ask, &body);
    if (rc == 0)
        rc = peers_start(config, buf_view(&body), c->peers, ret_err);
    buf_free(&body);
    return rc == 0 ? peers_calibrate(c, ret_err) : rc;
}

static int peers_with_both(const struct peers_options *o, const struct words *words, int streams,
                           const struct peers_plan *plans, size_t n, struct peers_totals *totals)
{
    struct peers_config config = o->config;
    struct peers peers = {.provider = -1, .server = -1, .coordinator = {.pid = -1}};
    struct peers_cases c = {.peers = &peers,
                            .prompts = {.words = words},
                            .streams = streams,
                            .context_tokens = config.context_tokens,
                            .new_tokens = o->new_tokens,
                            .shortest_tokens = totals->shortest_tokens};
    struct err e = {0};
    int rc;

    config.streams = streams;
    config.slots = o->slots ? o->slots : streams;
    rc = peers_open(&config, &c, &e);
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = peers_measure(&c, &plans[i], o->rounds);
    if (rc < 0)
        fprintf(stderr, "darkbloom-bench: %s\n", e.text[0] ? e.text : err_str(rc));
    totals->idle_us += peers.idle_us;
    totals->idle_cpu_us += peers.idle_cpu_us;
    totals->shortest_tokens = c.shortest_tokens;
    totals->may_bias = c.prompts.may_bias;
    if (c.prompts.worst_off_tokens > totals->worst_off_tokens)
        totals->worst_off_tokens = c.prompts.worst_off_tokens;
    peers_stop(&peers);
    return rc;
}

static void peers_print_head(const struct peers_options *o)
{
    printf("\n### The whole product beside llama-server, %s\n\n"
           "%ld processors; greedy, answers of %lld tokens, prompts of random words; %d rounds in "
           "turn: median (best), ratio of medians (of bests).\n\n"
           "| what | darkbloom | llama-server | ratio | budget | distance |\n"
           "|---|---|---|---|---|---|\n",
           o->config.model, sysconf(_SC_NPROCESSORS_ONLN), (long long)o->new_tokens, o->rounds);
}

static void peers_print_foot(const struct peers_totals *t)
{
    printf("\nPrompts were at most %lld tokens off by the sides' own usage.",
           (long long)t->worst_off_tokens);
    if (t->shortest_tokens < INT64_MAX)
        printf(" The shortest answer of a rate had %lld tokens (%s).",
               (long long)t->shortest_tokens,
               t->may_bias ? "kept from ending by logit_bias" : "they end when the model says so");
    if (t->idle_us > 0)
        printf(" The product, idle while llama-server was measured, took %.2f %% of a processor.",
               100.0 * (double)t->idle_cpu_us / (double)t->idle_us);
    printf("\n");
}

static int peers_run_plans(const struct peers_options *o, const struct words *words)
{
    struct peers_totals totals = {.shortest_tokens = INT64_MAX};
    int rc = 0;

    peers_print_head(o);
    for (int i = 0; rc == 0 && i < o->n_streams; i++) {
        struct peers_plan plan = peers_rate_plan;

        plan.arg = o->streams[i];
        rc = peers_with_both(o, words, o->streams[i], &plan, 1, &totals);
    }
    if (rc == 0)
        rc = peers_with_both(o, words, LATENCY_STREAMS, peers_latency_plans,
                             sizeof peers_latency_plans / sizeof peers_latency_plans[0], &totals);
    peers_print_foot(&totals);
    return rc;
}

int bench_peers_section(const char *program)
{
    struct peers_options o = {.n_streams = 0};
    struct words *words = NULL;
    struct err e = {0};
    int rc = peers_read_options(program, &o);

    if (rc < 0)
        return rc;
    rc = words_open(o.config.model, &words, &e);
    if (rc < 0)
        fprintf(stderr, "darkbloom-bench: %s\n", e.text);
    else
        rc = peers_run_plans(&o, words);
    words_close(words);
    return rc;
}
