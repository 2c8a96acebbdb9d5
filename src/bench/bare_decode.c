/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/bare_decode.h"

struct str bare_messages(void)
{
    return STR(
        "[{\"role\":\"user\",\"content\":\"Tell me a long story about a lighthouse and the sea. "
        "It should have a keeper who counts the ships that pass, a storm in the second part, a "
        "letter that comes ten years late, and an end that nobody would guess from its "
        "beginning.\"}]");
}

int bare_prompt_make(struct gguf *model, struct bare_prompt *ret_prompt)
{
    const struct form_ask ask = {.messages = bare_messages()};
    enum engine_wrong wrong;
    struct form form = {0};
    struct buf text;
    int32_t rc;

    buf_init(&text, 1U << 16);
    rc = gguf_ops.render(model, &ask, &text, &form, &wrong);
    form_free(&form);
    if (rc == 0)
        rc = gguf_ops.tokenize(model, buf_view(&text), ret_prompt->tokens, BARE_PROMPT_MAX, NULL);
    buf_free(&text);
    if (rc < 0 || rc > BARE_PROMPT_MAX)
        return rc < 0 ? rc : ERR_LIMIT;
    ret_prompt->n = rc;
    return 0;
}

int32_t bare_best_of(const float *logits, int32_t vocab)
{
    int32_t best = 0;

    for (int32_t i = 1; i < vocab; i++)
        best = logits[i] > logits[best] ? i : best;
    return best;
}

/* Each row's prompt and the token after it. */
static int bare_decode_prefill(struct gguf *model, const struct bare_prompt *prompt, int32_t rows,
                               struct model_row *batch)
{
    struct model_row prompt_rows[BARE_PROMPT_MAX];
    int32_t vocab = gguf_ops.limits(model).vocab, n = prompt->n;

    for (int32_t seq = 0; seq < rows; seq++) {
        for (int32_t i = 0; i < n; i++)
            prompt_rows[i] = (struct model_row){prompt->tokens[i], i, seq, i == n - 1};
        if (gguf_ops.decode(model, prompt_rows, n) < 0)
            return ERR_MODEL;
        batch[seq] =
            (struct model_row){bare_best_of(gguf_ops.logits(model, n - 1), vocab), n, seq, true};
    }
    return 0;
}

static int bare_decode_step(struct gguf *model, struct model_row *batch, int32_t rows)
{
    int32_t vocab = gguf_ops.limits(model).vocab;

    if (gguf_ops.decode(model, batch, rows) < 0)
        return ERR_MODEL;
    for (int32_t seq = 0; seq < rows; seq++) {
        batch[seq].token = bare_best_of(gguf_ops.logits(model, seq), vocab);
        batch[seq].pos++;
    }
    return 0;
}

double bare_decode(struct gguf *model, struct clock *clock, const struct bare_prompt *prompt,
                   int32_t rows, int32_t steps)
{
    struct model_row batch[BARE_ROWS_MAX];
    int64_t start = clock_mono_us(clock);
    int rc = bare_decode_prefill(model, prompt, rows, batch);

    for (int32_t i = 1; rc == 0 && i < steps; i++)
        rc = bare_decode_step(model, batch, rows);
    for (int32_t seq = 0; seq < rows; seq++)
        gguf_ops.forget(model, seq);
    return rc < 0 ? rc : rows * steps / ((double)(clock_mono_us(clock) - start) / 1e6);
}
