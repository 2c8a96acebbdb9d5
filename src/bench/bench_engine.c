/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens a second through the scheduler beside a bare llama_decode loop over the same context: the
 * same prompts, greedy, alternating in one run, best of three. And what a long prompt does to an
 * answer that runs, with and without a pace. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/bare_decode.h"
#include "bench/budget.h"
#include "bench/sections.h"
#include "provider/engine/scheduler.h"

enum {
    SLOTS = BARE_ROWS_MAX,
    CONTEXT_TOKENS = 256,
    CHUNK_TOKENS = 256,
    NEW_TOKENS = 48,
    ROUNDS = 3,
    LONG_PROMPT_WORDS = 1000,
    LONG_CONTEXT_TOKENS = 1280,
    WARM_UP_TOKENS = 8
};

/* One row at most 3 % slower. More rows have another one, beside llama-server, which is not run
 * here. */
static const double one_row_budget = 0.97;

struct bench {
    struct gguf *model;
    struct clock clock;
    struct bare_prompt prompt;
    pthread_mutex_t lock;
    pthread_cond_t woken;
    bool wake;
};

static double bench_engine_seconds_since(const struct bench *b, int64_t start_us)
{
    return (double)(clock_mono_us(&b->clock) - start_us) / 1e6;
}

/* --- through the scheduler --- */

static void bench_engine_wake(void *ud)
{
    struct bench *b = ud;

    pthread_mutex_lock(&b->lock);
    b->wake = true;
    pthread_cond_signal(&b->woken);
    pthread_mutex_unlock(&b->lock);
}

static void bench_engine_wait_for_wake(struct bench *b)
{
    pthread_mutex_lock(&b->lock);
    while (!b->wake)
        pthread_cond_wait(&b->woken, &b->lock);
    b->wake = false;
    pthread_mutex_unlock(&b->lock);
}

/* Drain events until `rows` requests have ended; the tokens they made, or a negative number. */
static int64_t bench_engine_collect(struct bench *b, struct scheduler *s, int32_t rows)
{
    int64_t tokens = 0;
    struct engine_event e;

    while (rows > 0) {
        bench_engine_wait_for_wake(b);
        while (scheduler_poll(s, &e)) {
            if (e.kind == ENGINE_FAILED)
                return -1;
            if (e.kind == ENGINE_DONE) {
                tokens += e.completion_tokens;
                rows--;
            }
        }
    }
    return tokens;
}

static int bench_engine_start_scheduler(struct bench *b, struct clock clock,
                                        struct scheduler **ret_scheduler)
{
    const struct scheduler_config config = {.ops = &gguf_ops,
                                            .model = b->model,
                                            .chunk_tokens = CHUNK_TOKENS,
                                            .max_waiting = SLOTS,
                                            .clock = clock,
                                            .wake = bench_engine_wake,
                                            .wake_ud = b};

    return scheduler_start(&config, ret_scheduler, NULL);
}

static double bench_engine_scheduled(struct bench *b, int32_t rows)
{
    const struct chat_request chat = {
        .messages = bare_messages(), .max_tokens = NEW_TOKENS, .temperature = 0, .top_p = 1};
    struct scheduler *s;
    int64_t start, tokens;
    double rate;

    if (bench_engine_start_scheduler(b, b->clock, &s) < 0)
        return -1;
    start = clock_mono_us(&b->clock);
    for (int32_t i = 0; i < rows; i++)
        (void)scheduler_submit(s, (uint64_t)i + 1, &chat);
    tokens = bench_engine_collect(b, s, rows);
    rate = tokens < 0 ? -1 : (double)tokens / bench_engine_seconds_since(b, start);
    scheduler_stop(s);
    return rate;
}

/* --- a long prompt beside a running answer --- */

enum { ANSWER = 1, PROMPT };

struct gaps {
    int64_t last_us, worst_us, sum_us;
    int32_t n;
};

static void bench_engine_take_gap(struct bench *b, struct gaps *g)
{
    int64_t now = clock_mono_us(&b->clock), gap = now - g->last_us;

    g->last_us = now;
    g->sum_us += gap;
    g->worst_us = gap > g->worst_us ? gap : g->worst_us;
    g->n++;
}

/* Take events until the answer has `texts` more, or the prompt's request has ended. */
static int bench_engine_follow(struct bench *b, struct scheduler *s, int32_t texts, struct gaps *g)
{
    struct engine_event e;

    while (texts > 0) {
        bench_engine_wait_for_wake(b);
        while (scheduler_poll(s, &e)) {
            if (e.kind == ENGINE_FAILED)
                return ERR_MODEL;
            if (e.tag == PROMPT && e.kind == ENGINE_DONE)
                return 0;
            if (e.tag == ANSWER && e.kind == ENGINE_TEXT) {
                bench_engine_take_gap(b, g);
                texts--;
            }
        }
    }
    return 0;
}

static int bench_engine_ask(struct scheduler *s, uint64_t tag, struct str messages,
                            int64_t max_tokens)
{
    const struct chat_request chat = {
        .messages = messages, .max_tokens = max_tokens, .temperature = 0, .top_p = 1};

    return scheduler_submit(s, tag, &chat);
}

static int bench_engine_long_prompt(struct buf *out)
{
    int rc = buf_append_str(out, STR("[{\"role\":\"user\",\"content\":\""));

    for (int i = 0; rc == 0 && i < LONG_PROMPT_WORDS; i++)
        rc = buf_append_str(out, STR("word "));
    return rc == 0 ? buf_append_str(out, STR("\"}]")) : rc;
}

static int bench_engine_beside(struct bench *b, const char *name, struct clock clock,
                               struct str prompt)
{
    struct gaps g = {0};
    struct scheduler *s;
    int64_t start;
    int rc = bench_engine_start_scheduler(b, clock, &s);

    if (rc < 0)
        return rc;
    rc = bench_engine_ask(s, ANSWER, bare_messages(), LONG_CONTEXT_TOKENS);
    if (rc == 0)
        rc = bench_engine_follow(b, s, WARM_UP_TOKENS, &g);
    start = clock_mono_us(&b->clock);
    g = (struct gaps){.last_us = start};
    if (rc == 0)
        rc = bench_engine_ask(s, PROMPT, prompt, 1);
    if (rc == 0)
        rc = bench_engine_follow(b, s, LONG_CONTEXT_TOKENS, &g);
    printf("| %s | %.1f s | %d | %.0f ms | %.0f ms |\n", name, bench_engine_seconds_since(b, start),
           g.n, g.n ? (double)g.sum_us / g.n / 1e3 : 0, (double)g.worst_us / 1e3);
    scheduler_stop(s);
    return rc;
}

static int64_t bench_engine_stands_still(void *ud)
{
    (void)ud;
    return 0;
}

/* By a clock that stands still nothing costs anything, and all chunks are full. */
static int bench_engine_prompt_rows(struct bench *b)
{
    const struct clock still = {bench_engine_stands_still, bench_engine_stands_still, NULL};
    struct buf prompt;
    int rc;

    printf("\n### A prompt of %d words beside a running answer, 2 threads, invariant numerics\n\n"
           "| passes | prompt took | tokens meanwhile | mean gap | worst gap |\n"
           "|---|---|---|---|---|\n",
           LONG_PROMPT_WORDS);
    buf_init(&prompt, 1U << 16);
    rc = bench_engine_long_prompt(&prompt);
    if (rc == 0)
        rc = bench_engine_beside(b, "full chunks", still, buf_view(&prompt));
    if (rc == 0)
        rc = bench_engine_beside(b, "paced", b->clock, buf_view(&prompt));
    buf_free(&prompt);
    return rc;
}

/* --- the tables --- */

static int bench_engine_row(struct bench *b, int32_t rows)
{
    double best_bare = 0, best_scheduled = 0;

    for (int i = 0; i < ROUNDS; i++) {
        double x = bare_decode(b->model, &b->clock, &b->prompt, rows, NEW_TOKENS),
               y = bench_engine_scheduled(b, rows);

        if (x < 0 || y < 0)
            return ERR_MODEL;
        best_bare = x > best_bare ? x : best_bare;
        best_scheduled = y > best_scheduled ? y : best_scheduled;
    }
    printf("| %d | %.0f | %.0f | **%.2f** |", rows, best_bare, best_scheduled,
           best_scheduled / best_bare);
    if (rows == 1)
        printf(" ≥ %.2f | %s |\n", one_row_budget,
               budget_at_least(best_scheduled / best_bare, one_row_budget).text);
    else
        printf(" reported | |\n");
    return 0;
}

static int bench_engine_speed_rows(struct bench *b)
{
    static const int32_t sizes[] = {1, 4, 8, 16};
    int rc = bare_prompt_make(b->model, &b->prompt);

    printf("\n### Tokens a second, %d new tokens a row, %d prompt tokens, 2 threads, invariant "
           "numerics\n\n"
           "| rows | bare llama_decode | scheduler | ratio | budget | distance |\n"
           "|---|---|---|---|---|---|\n",
           NEW_TOKENS, b->prompt.n);
    for (size_t i = 0; rc == 0 && i < sizeof sizes / sizeof sizes[0]; i++)
        rc = bench_engine_row(b, sizes[i]);
    return rc;
}

static int bench_engine_with_model(const char *path, int32_t slots, int32_t context_tokens,
                                   int (*table)(struct bench *b))
{
    const struct llama_model_config config = {.path = path,
                                              .backends = DARKBLOOM_LLAMA_LIB_DIR,
                                              .slots = slots,
                                              .context_tokens = context_tokens,
                                              .chunk_tokens = CHUNK_TOKENS,
                                              .threads = 2,
                                              .invariant = true};
    struct bench b = {.clock = clock_system(),
                      .lock = PTHREAD_MUTEX_INITIALIZER,
                      .woken = PTHREAD_COND_INITIALIZER};
    struct err e = {0};
    int rc = gguf_open(&config, &b.model, &e);

    if (rc < 0) {
        fprintf(stderr, "darkbloom-bench: %s\n", e.text);
        return rc;
    }
    rc = table(&b);
    gguf_close(b.model);
    return rc;
}

int bench_engine_section(const char *model_path)
{
    int rc = bench_engine_with_model(model_path, SLOTS, CONTEXT_TOKENS, bench_engine_speed_rows);

    return rc < 0 ? rc
                  : bench_engine_with_model(model_path, 2, LONG_CONTEXT_TOKENS,
                                            bench_engine_prompt_rows);
}
