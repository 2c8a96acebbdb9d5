/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens a second through the scheduler beside a bare llama_decode loop over the same context: the
 * same prompts, greedy, alternating in one run, best of three. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "bench/sections.h"
#include "provider/engine/llama_model.h"
#include "provider/engine/scheduler.h"

enum {
    SLOTS = 16,
    CONTEXT_TOKENS = 256,
    CHUNK_TOKENS = 256,
    NEW_TOKENS = 48,
    ROUNDS = 3,
    PROMPT_MAX_TOKENS = 128
};

static const struct str messages = STR(
    "[{\"role\":\"user\",\"content\":\"Tell me a long story about a lighthouse and the sea.\"}]");

struct bench {
    struct gguf *model;
    struct clock clock;
    int32_t prompt[PROMPT_MAX_TOKENS];
    int32_t n_prompt;
    pthread_mutex_t lock;
    pthread_cond_t woken;
    bool wake;
};

static double seconds_since(const struct bench *b, int64_t start_us)
{
    return (double)(clock_mono_us(&b->clock) - start_us) / 1e6;
}

/* --- bare: what the library does when nothing stands above it
 * ------------------------------------------- */

static int32_t best_of(const float *logits, int32_t n)
{
    int32_t best = 0;

    for (int32_t i = 1; i < n; i++)
        best = logits[i] > logits[best] ? i : best;
    return best;
}

/* Tokens a second of `rows` sequences, prefill included; negative on failure. */
static double bare(struct bench *b, int32_t rows)
{
    struct model_limits limits = gguf_ops.limits(b->model);
    struct model_row batch[SLOTS];
    struct model_row prefill[PROMPT_MAX_TOKENS];
    int64_t start = clock_mono_us(&b->clock);

    for (int32_t seq = 0; seq < rows; seq++) {
        for (int32_t i = 0; i < b->n_prompt; i++)
            prefill[i] = (struct model_row){b->prompt[i], i, seq, i == b->n_prompt - 1};
        if (gguf_ops.decode(b->model, prefill, b->n_prompt) < 0)
            return -1;
        batch[seq].token = best_of(gguf_ops.logits(b->model, b->n_prompt - 1), limits.vocab);
    }
    for (int32_t step = 1; step < NEW_TOKENS; step++) {
        for (int32_t seq = 0; seq < rows; seq++)
            batch[seq] = (struct model_row){batch[seq].token, b->n_prompt + step - 1, seq, true};
        if (gguf_ops.decode(b->model, batch, rows) < 0)
            return -1;
        for (int32_t seq = 0; seq < rows; seq++)
            batch[seq].token = best_of(gguf_ops.logits(b->model, seq), limits.vocab);
    }
    for (int32_t seq = 0; seq < rows; seq++)
        gguf_ops.forget(b->model, seq);
    return rows * NEW_TOKENS / seconds_since(b, start);
}

/* --- through the scheduler
 * ------------------------------------------------------------------------------- */

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
        .messages = messages, .max_tokens = NEW_TOKENS, .temperature = 0, .top_p = 1};
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

/* --- the table
 * -------------------------------------------------------------------------------------------- */

static int tokenise_prompt(struct bench *b)
{
    struct buf text;
    int rc;

    buf_init(&text, 1U << 16);
    rc = gguf_ops.render(b->model, messages, &text);
    if (rc == 0)
        b->n_prompt = gguf_ops.tokenize(b->model, buf_view(&text), b->prompt, PROMPT_MAX_TOKENS);
    buf_free(&text);
    return rc < 0 ? rc : b->n_prompt < 0 ? b->n_prompt : 0;
}

static int row(struct bench *b, int32_t rows)
{
    double best_bare = 0, best_scheduled = 0;

    for (int i = 0; i < ROUNDS; i++) {
        double x = bare(b, rows), y = scheduled(b, rows);

        if (x < 0 || y < 0)
            return ERR_MODEL;
        best_bare = x > best_bare ? x : best_bare;
        best_scheduled = y > best_scheduled ? y : best_scheduled;
    }
    printf("| %d | %.0f | %.0f | **%.2f** | %s |\n", rows, best_bare, best_scheduled,
           best_scheduled / best_bare, rows == 1 ? "≥ 0.97" : "≥ 1 beside llama-server");
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
    rc = tokenise_prompt(&b);
    printf("\n### Tokens a second, %d new tokens a row, %d prompt tokens, 2 threads, invariant "
           "numerics\n\n"
           "| rows | bare llama_decode | scheduler | ratio | budget |\n|---|---|---|---|---|\n",
           NEW_TOKENS, b.n_prompt);
    for (size_t i = 0; rc == 0 && i < sizeof sizes / sizeof sizes[0]; i++)
        rc = row(&b, sizes[i]);
    gguf_close(b.model);
    return rc;
}
