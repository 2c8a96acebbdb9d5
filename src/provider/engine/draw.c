/* SPDX-License-Identifier: Apache-2.0 */
/* A row's next token: what the request adds to the logits, the sampler, the grammar, and what the
 * request wants to know of it. */
#include "provider/engine/draw.h"

#include <math.h>
#include <stdlib.h>

#include "proto/shape.h"
#include "provider/engine/constrain.h"

/* --- before the sampler --- */

static void draw_add_biases(const struct draw_how *how, float *logits)
{
    for (size_t i = 0; i < how->n_biases; i++)
        logits[how->biases[i].token] += how->biases[i].add;
}

/* Each token of prompt and answer once, however often it stands there (Keskar et al. 2019, CTRL).
 * The sampler's weights serve as marks. */
static void draw_penalise_repetition(const struct draw_how *how, float *logits,
                                     const struct draw_row *row, float *marks)
{
    float by = (float)how->repetition_penalty;

    for (int32_t i = 0; i < row->n_tokens; i++)
        marks[row->tokens[i]] = 0;
    for (int32_t i = 0; i < row->n_tokens; i++) {
        int32_t t = row->tokens[i];

        if (!(marks[t] > 0))
            logits[t] = logits[t] > 0 ? logits[t] / by : logits[t] * by;
        marks[t] = 1;
    }
}

/* Tokens less likely than min_p of the likeliest one are not drawn. */
static void draw_cut(const struct draw_how *how, double temperature, float *logits, int32_t vocab)
{
    float least, best = -INFINITY;

    for (int32_t i = 0; i < vocab; i++)
        best = logits[i] > best ? logits[i] : best;
    least = (float)((double)best + temperature * log(how->min_p));
    for (int32_t i = 0; isfinite(best) && i < vocab; i++)
        logits[i] = logits[i] < least ? -INFINITY : logits[i];
}

static void draw_adjust(struct draw_row *row, struct sampler_scratch *scratch, float *logits)
{
    const struct draw_how *how = row->how;

    draw_add_biases(how, logits);
    if (how->repetition_penalty > 1 || (how->repetition_penalty > 0 && how->repetition_penalty < 1))
        draw_penalise_repetition(how, logits, row, scratch->weights);
    if (how->min_p > 0 && row->sampler->how.temperature > 0)
        draw_cut(how, row->sampler->how.temperature, logits, scratch->vocab);
}

/* --- the grammar --- */

/* Drawn again from what fits: as if all that does not had been struck out before, since a token
 * that fits is drawn first or then in proportion to its weight. */
static int32_t draw_again(struct draw_row *row, struct sampler_scratch *scratch, float *logits)
{
    int rc = constraint_mask(row->constraint, logits, scratch->vocab);
    int32_t token = rc < 0 ? rc : sampler_next(row->sampler, scratch, logits, NULL, 0);

    return token >= 0 && !constraint_allows(row->constraint, token) ? ERR_MODEL : token;
}

int32_t draw_token(struct draw_row *row, struct sampler_scratch *scratch, float *logits)
{
    int32_t token;

    draw_adjust(row, scratch, logits);
    token = sampler_next(row->sampler, scratch, logits, row->tokens + row->n_prompt,
                         (size_t)(row->n_tokens - row->n_prompt));
    if (token >= 0 && row->constraint && !constraint_allows(row->constraint, token))
        token = draw_again(row, scratch, logits);
    return token;
}

/* --- logprobs --- */

struct draw_likely {
    int32_t token;
    float logit;
};

/* The `k` likeliest in descending order; equal ones by id. Returns their number. */
static int32_t draw_take_top(const float *logits, int32_t vocab, int32_t k, struct draw_likely *top)
{
    int32_t n = 0;

    for (int32_t i = 0; k > 0 && i < vocab; i++) {
        int32_t at;

        if (n == k && !(logits[i] > top[n - 1].logit))
            continue;
        n += n < k;
        for (at = n - 1; at > 0 && logits[i] > top[at - 1].logit; at--)
            top[at] = top[at - 1];
        top[at] = (struct draw_likely){i, logits[i]};
    }
    return n;
}

static double draw_log_sum(const float *logits, int32_t vocab)
{
    float best = -INFINITY;
    double sum = 0;

    for (int32_t i = 0; i < vocab; i++)
        best = logits[i] > best ? logits[i] : best;
    for (int32_t i = 0; i < vocab; i++)
        sum += (double)expf(logits[i] - best);
    return (double)best + log(sum > 0 ? sum : 1); /* the likeliest adds 1 */
}

/* "token":…,"logprob":…,"bytes":[…] */
static int draw_write_token(const struct model_ops *ops, void *model, int32_t token, double logprob,
                            struct buf *out)
{
    char piece[DRAW_PIECE_BYTES];
    size_t n = ops->piece(model, token, true, piece, sizeof piece);
    int rc = buf_append_str(out, STR("\"token\":"));

    n = n < sizeof piece ? n : sizeof piece;
    if (rc == 0)
        rc = json_append_str(out, (struct str){piece, n});
    if (rc == 0)
        rc = buf_printf(out, ",\"logprob\":%.6g,\"bytes\":[",
                        isfinite(logprob) ? logprob : DRAW_NEVER_LOGPROB);
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = buf_printf(out, i > 0 ? ",%u" : "%u", (unsigned char)piece[i]);
    return rc == 0 ? buf_append_str(out, STR("]")) : rc;
}

int draw_write_logprobs(const struct draw_how *how, const struct model_ops *ops, void *model,
                        const float *logits, int32_t token, struct buf *out)
{
    int32_t vocab = ops->limits(model).vocab, n;
    struct draw_likely top[CHAT_MAX_TOP_LOGPROBS];
    double all = draw_log_sum(logits, vocab);
    int rc = buf_append_str(out, STR("{"));

    n = draw_take_top(logits, vocab, how->top_logprobs, top);
    if (rc == 0)
        rc = draw_write_token(ops, model, token, (double)logits[token] - all, out);
    if (rc == 0)
        rc = buf_append_str(out, STR(",\"top_logprobs\":["));
    for (int32_t i = 0; rc == 0 && i < n; i++) {
        rc = buf_append_str(out, i > 0 ? STR(",{") : STR("{"));
        if (rc == 0)
            rc = draw_write_token(ops, model, top[i].token, (double)top[i].logit - all, out);
        if (rc == 0)
            rc = buf_append_str(out, STR("}"));
    }
    return rc == 0 ? buf_append_str(out, STR("]}")) : rc;
}
