/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/peers_cases.h"

enum {
    RATE_PROMPT_TOKENS = 64,
    FIRST_MAX_TOKENS = 4, /* of answers of which only the first is looked at */
    TAIL_TOKENS = 24,     /* of a prompt behind a shared beginning */
    WAITING_US = 300000
};

static struct peers_run peers_case_begin(struct peers_cases *c, enum peers_side side)
{
    return (struct peers_run){.peers = c->peers, .prompts = &c->prompts, .side = side};
}

static double peers_case_seconds(int64_t us)
{
    return (double)us / 1e6;
}

/* --- calibration --- */

static int peers_case_usage(struct peers_cases *c, int64_t words, bool endless, int64_t *ret_tokens)
{
    const struct peers_ask ask = {
        .seed = (uint64_t)words, .tokens = words, .max_tokens = 1, .endless = endless};
    struct peers_run run = peers_case_begin(c, PEERS_PRODUCT);
    int rc = peers_run_ask(&run, &ask);

    if (rc == 0)
        rc = peers_run_until(&run, peers_run_all_ended);
    if (rc == 0 && !peers_run_seen(&run, 0)->whole)
        rc = ERR_PROTOCOL;
    if (rc == 0)
        *ret_tokens = peers_run_seen(&run, 0)->prompt_tokens;
    peers_run_end(&run);
    return rc;
}

int peers_calibrate(struct peers_cases *c, struct err *ret_err)
{
    int64_t few = 0, more = 0, unused;
    int rc;

    c->prompts.overhead_tokens = 0;
    rc = peers_case_usage(c, 8, false, &few);
    if (rc == 0)
        rc = peers_case_usage(c, 108, false, &more);
    if (rc < 0 || more - few != 100)
        return err_set(ret_err, ERR_PROTOCOL,
                       "prompts of 8 and 108 words have %lld and %lld tokens by usage",
                       (long long)few, (long long)more);
    c->prompts.may_bias = true;
    c->prompts.may_bias = peers_case_usage(c, 16, true, &unused) == 0;
    c->prompts.overhead_tokens = few - 8;
    return 0;
}

/* --- rates --- */

struct peers_window {
    int64_t from_us, to_us;             /* all run */
    int64_t first_sent_us, last_end_us; /* any does */
};

static struct peers_window peers_case_window(const struct peers_run *run)
{
    struct peers_window w = {INT64_MIN, INT64_MAX, INT64_MAX, INT64_MIN};

    for (int i = 0; i < run->n; i++) {
        const struct stream_seen *seen = peers_run_seen(run, i);
        int64_t first = seen->pieces ? seen->pieces_us[0] : seen->end_us;
        int64_t last = seen->pieces ? seen->pieces_us[seen->pieces - 1] : seen->end_us;

        w.from_us = first > w.from_us ? first : w.from_us;
        w.to_us = last < w.to_us ? last : w.to_us;
        w.first_sent_us = seen->sent_us < w.first_sent_us ? seen->sent_us : w.first_sent_us;
        w.last_end_us = last > w.last_end_us ? last : w.last_end_us;
    }
    return w;
}

/* A piece may stand for several tokens (characters that take more than one): each counts as its
 * answer's mean. */
static double peers_case_tokens_in(const struct stream_seen *seen, const struct peers_window *w)
{
    size_t n = 0;

    for (size_t i = 0; i < seen->pieces; i++)
        n += seen->pieces_us[i] > w->from_us && seen->pieces_us[i] <= w->to_us;
    return n ? (double)n * (double)seen->completion_tokens / (double)seen->pieces : 0;
}

static int peers_case_rates_of(struct peers_cases *c, const struct peers_run *run,
                               double ret_figures[PEERS_FIGURES_MAX])
{
    struct peers_window w = peers_case_window(run);
    double steady = 0, whole = 0;

    for (int i = 0; i < run->n; i++) {
        const struct stream_seen *seen = peers_run_seen(run, i);

        steady += peers_case_tokens_in(seen, &w);
        whole += (double)seen->completion_tokens;
        if (seen->completion_tokens < c->shortest_tokens)
            c->shortest_tokens = seen->completion_tokens;
    }
    if (w.to_us <= w.from_us || steady < 1)
        return peers_run_complain(run, 0, "one had ended before the last began");
    ret_figures[0] = steady / peers_case_seconds(w.to_us - w.from_us);
    ret_figures[1] = whole / peers_case_seconds(w.last_end_us - w.first_sent_us);
    return 0;
}

int peers_case_rate(struct peers_cases *c, enum peers_side side, uint64_t seed, int64_t arg,
                    double ret_figures[PEERS_FIGURES_MAX])
{
    struct peers_ask ask = {
        .seed = seed, .tokens = RATE_PROMPT_TOKENS, .max_tokens = c->new_tokens, .endless = true};
    struct peers_run run = peers_case_begin(c, side);
    int rc = 0;

    for (int i = 0; rc == 0 && i < arg; i++, ask.seed++)
        rc = peers_run_ask(&run, &ask);
    if (rc == 0)
        rc = peers_run_until(&run, peers_run_all_ended);
    for (int i = 0; rc == 0 && i < run.n; i++)
        rc = peers_run_judge(&run, i, RATE_PROMPT_TOKENS);
    if (rc == 0)
        rc = peers_case_rates_of(c, &run, ret_figures);
    peers_run_end(&run);
    return rc;
}

/* --- one prompt --- */

static int peers_case_one(struct peers_cases *c, enum peers_side side, const struct peers_ask *ask,
                          double *ret_first_s)
{
    struct peers_run run = peers_case_begin(c, side);
    int rc = peers_run_ask(&run, ask);

    if (rc == 0)
        rc = peers_run_until(&run, peers_run_all_ended);
    if (rc == 0)
        rc = peers_run_judge(&run, 0, ask->tokens + ask->tail_tokens);
    if (rc == 0)
        *ret_first_s = peers_run_first_s(&run, 0);
    peers_run_end(&run);
    return rc;
}

int peers_case_first(struct peers_cases *c, enum peers_side side, uint64_t seed, int64_t arg,
                     double ret_figures[PEERS_FIGURES_MAX])
{
    const struct peers_ask ask = {
        .seed = seed, .tokens = arg, .max_tokens = FIRST_MAX_TOKENS, .endless = true};

    return peers_case_one(c, side, &ask, &ret_figures[0]);
}

int peers_case_prefix(struct peers_cases *c, enum peers_side side, uint64_t seed, int64_t arg,
                      double ret_figures[PEERS_FIGURES_MAX])
{
    struct peers_ask ask = {.seed = seed,
                            .tokens = arg,
                            .tail_seed = seed + 1,
                            .tail_tokens = TAIL_TOKENS,
                            .max_tokens = FIRST_MAX_TOKENS,
                            .endless = true};
    double cold = 0, same = 0, other = 0;
    int rc = peers_case_one(c, side, &ask, &cold);

    ask.tail_seed++;
    if (rc == 0)
        rc = peers_case_one(c, side, &ask, &same);
    ask.tail_seed++;
    ask.other_key = true;
    if (rc == 0)
        rc = peers_case_one(c, side, &ask, &other);
    if (rc < 0)
        return rc;
    ret_figures[0] = cold / same;
    ret_figures[1] = cold / other;
    ret_figures[2] = same;
    return 0;
}

/* --- a prompt beside an answer --- */

/* The answer's worst gap of those that end after the prompt was sent; one that is still open when
 * the prompt's first piece comes counts too. */
static double peers_case_worst_gap_s(const struct stream_seen *answer, int64_t from_us,
                                     int64_t to_us)
{
    int64_t worst = 0, last = answer->pieces_us[0];

    for (size_t i = 1; i < answer->pieces && last < to_us; i++) {
        int64_t at = answer->pieces_us[i] < to_us ? answer->pieces_us[i] : to_us;

        if (at > from_us && at - last > worst)
            worst = at - last;
        last = answer->pieces_us[i];
    }
    if (!answer->ended && last < to_us && to_us - last > worst)
        worst = to_us - last;
    return peers_case_seconds(worst);
}

/* An answer that ended itself counts where it saw most of the prompt. */
static int peers_case_beside_of(const struct peers_run *run, double ret_figures[PEERS_FIGURES_MAX])
{
    const struct stream_seen *answer = peers_run_seen(run, 0), *prompt = peers_run_seen(run, 1);
    int64_t came_us = prompt->pieces ? prompt->pieces_us[0] : prompt->end_us;
    int64_t middle_us = prompt->sent_us + (came_us - prompt->sent_us) / 2;

    if (prompt->ended && !prompt->whole)
        return peers_run_complain(run, 1, "no whole answer");
    if (answer->pieces == 0 || (answer->ended && answer->end_us < middle_us))
        return peers_run_complain(run, 0, "it ended before the prompt was half in");
    ret_figures[0] = peers_case_worst_gap_s(answer, prompt->sent_us, came_us);
    ret_figures[1] = peers_run_first_s(run, 1);
    return 0;
}

int peers_case_beside(struct peers_cases *c, enum peers_side side, uint64_t seed, int64_t arg,
                      double ret_figures[PEERS_FIGURES_MAX])
{
    const struct peers_ask answer = {.seed = seed,
                                     .tokens = RATE_PROMPT_TOKENS,
                                     .max_tokens = c->context_tokens - RATE_PROMPT_TOKENS - 8,
                                     .endless = true};
    const struct peers_ask prompt = {
        .seed = seed + 1, .tokens = arg, .max_tokens = FIRST_MAX_TOKENS, .endless = true};
    struct peers_run run = peers_case_begin(c, side);
    int rc = peers_run_ask(&run, &answer);

    if (rc == 0)
        rc = peers_run_until(&run, peers_run_all_run);
    if (rc == 0)
        rc = peers_run_ask(&run, &prompt);
    if (rc == 0)
        rc = peers_run_until(&run, peers_run_last_began);
    if (rc == 0)
        rc = peers_case_beside_of(&run, ret_figures);
    peers_run_end(&run);
    return rc;
}

/* --- leaving --- */

/* All but the last run, and it waits. */
static int peers_case_one_waits(struct peers_run *run)
{
    for (int i = 0; i < run->n; i++) {
        const struct stream_seen *seen = peers_run_seen(run, i);

        if (seen->ended)
            return peers_run_complain(run, i, "one had ended by itself");
        if (i == run->n - 1 && seen->pieces > 0)
            return peers_run_complain(run, i, "more ran than should");
    }
    return 0;
}

static int peers_case_leave(struct peers_cases *c, struct peers_run *run, double *ret_s)
{
    struct clock clock = loop_clock(c->peers->loop);
    int64_t left_us = clock_mono_us(&clock);
    int rc;

    stream_free(run->at[0]);
    run->at[0] = run->at[--run->n];
    rc = peers_run_until(run, peers_run_first_began);
    if (rc == 0 && peers_run_seen(run, 0)->pieces == 0)
        rc = peers_run_complain(run, 0, "nothing came for the one that waited");
    if (rc == 0)
        *ret_s = peers_case_seconds(peers_run_seen(run, 0)->pieces_us[0] - left_us);
    return rc;
}

int peers_case_cancel(struct peers_cases *c, enum peers_side side, uint64_t seed, int64_t arg,
                      double ret_figures[PEERS_FIGURES_MAX])
{
    struct peers_ask ask = {.seed = seed,
                            .tokens = RATE_PROMPT_TOKENS,
                            .max_tokens = c->context_tokens - RATE_PROMPT_TOKENS - 8,
                            .endless = true};
    struct peers_run run = peers_case_begin(c, side);
    int rc = 0;

    for (int i = 0; rc == 0 && i < c->streams; i++, ask.seed++)
        rc = peers_run_ask(&run, &ask);
    if (rc == 0)
        rc = peers_run_until(&run, peers_run_all_run);
    ask.tokens = arg;
    ask.max_tokens = FIRST_MAX_TOKENS;
    if (rc == 0)
        rc = peers_run_ask(&run, &ask);
    peers_wait(c->peers, WAITING_US);
    if (rc == 0)
        rc = peers_case_one_waits(&run);
    if (rc == 0)
        rc = peers_case_leave(c, &run, &ret_figures[0]);
    peers_run_end(&run);
    return rc;
}
