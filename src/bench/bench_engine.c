/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens a second through the scheduler beside a bare llama_decode loop over the same context: the
 * same prompts, greedy, alternating in one run, best of three. */
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
    ROUNDS = 3
};

/* At most 3 % slower (the design asks it of one row). */
static const double RATIO_BUDGET = 0.97;

struct bench {
    struct gguf *model;
    struct clock clock;
    struct bare_prompt prompt;
    pthread_mutex_t lock;
    pthread_cond_t woken;
    bool wake;
};

static double seconds_since(const struct bench *b, int64_t start_us)
{
    return (double)(clock_mono_us(&b->clock) - start_us) / 1e6;
}

/* --- through the scheduler --- */

static void wake(void *ud)
{
    struct bench *b = ud;

    pthread_mutex_lock(&b->lock);
    b->wake = true;
    pthread_cond_signal(&b->woken);
    pthread_mutex_unlock(&b->lock);
}

static void wait_for_wake(struct bench *b)
{
    pthread_mutex_lock(&b->lock);
    while (!b->wake)
        pthread_cond_wait(&b->woken, &b->lock);
    b->wake = false;
    pthread_mutex_unlock(&b->lock);
}

/* Drain events until `rows` requests have ended; the tokens they made, or a negative number. */
static int64_t collect(struct bench *b, struct scheduler *s, int32_t rows)
{
    int64_t tokens = 0;
    struct engine_event e;

    while (rows > 0) {
        wait_for_wake(b);
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

static double scheduled(struct bench *b, int32_t rows)
{
    const struct scheduler_config config = {.ops = &gguf_ops,
                                            .model = b->model,
                                            .chunk_tokens = CHUNK_TOKENS,
                                            .max_waiting = SLOTS,
                                            .wake = wake,
                                            .wake_ud = b};
    const struct chat_request chat = {
        .messages = bare_messages(), .max_tokens = NEW_TOKENS, .temperature = 0, .top_p = 1};
    struct scheduler *s;
    int64_t start, tokens;
    double rate;

    if (scheduler_start(&config, &s, NULL) < 0)
        return -1;
    start = clock_mono_us(&b->clock);
    for (int32_t i = 0; i < rows; i++)
        (void)scheduler_submit(s, (uint64_t)i + 1, &chat);
    tokens = collect(b, s, rows);
    rate = tokens < 0 ? -1 : (double)tokens / seconds_since(b, start);
    scheduler_stop(s);
    return rate;
}

/* --- the table --- */

static int row(struct bench *b, int32_t rows)
{
    double best_bare = 0, best_scheduled = 0;

    for (int i = 0; i < ROUNDS; i++) {
        double x = bare_decode(b->model, &b->clock, &b->prompt, rows, NEW_TOKENS),
               y = scheduled(b, rows);

        if (x < 0 || y < 0)
            return ERR_MODEL;
        best_bare = x > best_bare ? x : best_bare;
        best_scheduled = y > best_scheduled ? y : best_scheduled;
    }
    printf("| %d | %.0f | %.0f | **%.2f** | ≥ %.2f | %s |\n", rows, best_bare, best_scheduled,
           best_scheduled / best_bare, RATIO_BUDGET,
           budget_at_least(best_scheduled / best_bare, RATIO_BUDGET).text);
    return 0;
}

int bench_engine_section(const char *model_path)
{
    static const int32_t sizes[] = {1, 4, 8, 16};
    const struct llama_model_config config = {.path = model_path,
                                              .backends = DARKBLOOM_LLAMA_LIB_DIR,
                                              .slots = SLOTS,
                                              .context_tokens = CONTEXT_TOKENS,
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
    rc = bare_prompt_make(b.model, &b.prompt);
    printf("\n### Tokens a second, %d new tokens a row, %d prompt tokens, 2 threads, invariant "
           "numerics\n\n"
           "| rows | bare llama_decode | scheduler | ratio | budget | distance |\n"
           "|---|---|---|---|---|---|\n",
           NEW_TOKENS, b.prompt.n);
    for (size_t i = 0; rc == 0 && i < sizeof sizes / sizeof sizes[0]; i++)
        rc = row(&b, sizes[i]);
    gguf_close(b.model);
    return rc;
}
