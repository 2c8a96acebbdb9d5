/* SPDX-License-Identifier: Apache-2.0 */
/* What invariant numerics cost and buy (docs/decisions/004): one greedy request alone, and the same
 * when it joins others that run already, with the cache types of `numerics = "invariant"` and of
 * `"fast"`. */
#include <stdio.h>
#include <string.h>

#include "bench/bare_decode.h"
#include "bench/sections.h"
#include "provider/engine/invariance.h"

enum { CONTEXT_TOKENS = 256, STEPS = 128, SHORT_PROMPT = 40 };

static const int32_t sizes[] = {1, 2, 4, 8, 16};

/* What the row that joined last saw in one of its steps. */
struct seen {
    int32_t token;
    uint64_t logits_digest;
};

struct run {
    struct gguf *model;
    struct bare_prompt prompt;
    struct model_row rows[BARE_ROWS_MAX + 2 * BARE_PROMPT_MAX];
    int32_t last[BARE_ROWS_MAX]; /* each row's newest token */
    struct seen seen[STEPS];
};

/* Tells two sets of logits apart; nobody tries to fool it. */
static uint64_t numerics_digest(const float *logits, int32_t n)
{
    uint64_t h = 0;

    for (int32_t i = 0; i < n; i++) {
        uint32_t bits;

        memcpy(&bits, &logits[i], sizeof bits);
        h = (h ^ bits) * 0x9E3779B97F4A7C15ULL;
    }
    return h;
}

/* Two join in each step, the first of them with a shorter prompt, so that prompts are cut where the
 * neighbour's ends. */
static int32_t numerics_joins_at(int32_t seq)
{
    return seq / 2;
}

static int32_t numerics_prompt_of(const struct run *r, int32_t seq, int32_t rows)
{
    return seq % 2 == 0 && rows > 1 ? SHORT_PROMPT : r->prompt.n;
}

/* The rows of one pass: prompts of those who join, one token of those who run. */
static int32_t numerics_plan(struct run *r, int32_t step, int32_t rows, int32_t *ret_at)
{
    int32_t n = 0;

    for (int32_t seq = 0; seq < rows && numerics_joins_at(seq) <= step; seq++) {
        int32_t prompt = numerics_prompt_of(r, seq, rows), age = step - numerics_joins_at(seq);

        if (age > 0)
            r->rows[n++] = (struct model_row){r->last[seq], prompt + age - 1, seq, true};
        for (int32_t i = 0; age == 0 && i < prompt; i++)
            r->rows[n++] = (struct model_row){r->prompt.tokens[i], i, seq, i == prompt - 1};
        ret_at[seq] = n - 1;
    }
    return n;
}

static int numerics_generate(struct run *r, int32_t rows)
{
    int32_t at[BARE_ROWS_MAX], vocab = gguf_ops.limits(r->model).vocab, last = rows - 1;
    int32_t first_step = numerics_joins_at(last);
    int rc = 0;

    for (int32_t step = 0; rc == 0 && step < first_step + STEPS; step++) {
        rc = gguf_ops.decode(r->model, r->rows, numerics_plan(r, step, rows, at));
        for (int32_t seq = 0; rc == 0 && seq < rows && numerics_joins_at(seq) <= step; seq++)
            r->last[seq] = bare_best_of(gguf_ops.logits(r->model, at[seq]), vocab);
        if (rc == 0 && step >= first_step)
            r->seen[step - first_step] = (struct seen){
                r->last[last], numerics_digest(gguf_ops.logits(r->model, at[last]), vocab)};
    }
    for (int32_t seq = 0; seq < rows; seq++)
        gguf_ops.forget(r->model, seq);
    return rc;
}

static void numerics_print_difference(const struct seen *alone, const struct seen *beside,
                                      double rate)
{
    int32_t logits = 0, tokens = 0;

    for (int32_t i = 0; i < STEPS; i++) {
        logits += alone[i].logits_digest != beside[i].logits_digest;
        tokens += alone[i].token != beside[i].token;
    }
    printf("| %.0f (%d, %d) ", rate, logits, tokens);
}

static int numerics_measure(struct gguf *model, const char *name)
{
    struct clock clock = clock_system();
    struct run r = {.model = model};
    struct seen alone[STEPS];
    int rc = bare_prompt_make(model, &r.prompt);

    printf("| %s | %s ", name, invariance_check(&gguf_ops, model) == 1 ? "yes" : "no");
    for (size_t i = 0; rc == 0 && i < sizeof sizes / sizeof sizes[0]; i++) {
        int64_t start = clock_mono_us(&clock);

        rc = numerics_generate(&r, sizes[i]);
        if (i == 0)
            memcpy(alone, r.seen, sizeof alone);
        if (rc == 0)
            numerics_print_difference(
                alone, r.seen, sizes[i] * STEPS * 1e6 / (double)(clock_mono_us(&clock) - start));
    }
    printf("|\n");
    return rc;
}

int bench_numerics_section(const char *model_path)
{
    static const char *const names[] = {"fast: K F16, V F16", "invariant: K F16, V BF16"};
    int rc = 0;

    printf("\n### Numerics: tokens a second (of %d steps: other logits, other tokens than the same "
           "request alone)\n\n"
           "| cache types | proven at start | 1 row | 2 | 4 | 8 | 16 "
           "|\n|---|---|---|---|---|---|---|\n",
           STEPS);
    for (int invariant = 0; rc == 0 && invariant <= 1; invariant++) {
        const struct llama_model_config config = {.path = model_path,
                                                  .backends = DARKBLOOM_LLAMA_LIB_DIR,
                                                  .slots = BARE_ROWS_MAX,
                                                  .context_tokens = CONTEXT_TOKENS,
                                                  .chunk_tokens = CONTEXT_TOKENS,
                                                  .threads = 2,
                                                  .invariant = invariant};
        struct gguf *model = NULL;
        struct err e = {0};

        rc = gguf_open(&config, &model, &e);
        if (rc < 0)
            fprintf(stderr, "darkbloom-bench: %s\n", e.text);
        else
            rc = numerics_measure(model, names[invariant]);
        gguf_close(model);
    }
    return rc;
}
