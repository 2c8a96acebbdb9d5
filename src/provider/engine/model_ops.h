/* SPDX-License-Identifier: Apache-2.0 */
/* What the batch scheduler needs of a model: libllama in the product (llama_model.h), a script in
 * tests. `render` and `tokenize` are called from preparing threads, several at a time, while the
 * batch thread is in any of the others: they only read what a model is, never its context. */
#ifndef DARKBLOOM_PROVIDER_ENGINE_MODEL_OPS_H
#define DARKBLOOM_PROVIDER_ENGINE_MODEL_OPS_H

#include <stdatomic.h>

#include "base/buf.h"
#include "base/err.h"
#include "provider/engine/form.h"

/* One row of a batch: a token of a sequence at a position. Rows of a sequence stand together, in
 * order of position, and sequences in order of their numbers. */
struct model_row {
    int32_t token, pos, seq;
    bool want_logits;
};

struct model_limits {
    int32_t vocab;          /* logits a row */
    int32_t context_tokens; /* a sequence may hold */
    int32_t max_seqs;
    int32_t max_rows;            /* rows a decode may have */
    int32_t longest_piece_bytes; /* no token stands for more text */
};

struct model_ops {
    struct model_limits (*limits)(void *ud);
    /* The prompt of a request, by the model's own chat template, and what goes with its answer
     * (zeroed before). 0; ERR_PARSE with *ret_wrong; ERR_LIMIT, ERR_NOMEM. */
    int (*render)(void *ud, const struct form_ask *ask, struct buf *out, struct form *ret_form,
                  enum engine_wrong *ret_wrong);
    /* Tokens of a text, special ones recognised. Count (where it is over `cap`, what is written
     * means nothing); ERR_LIMIT (so many more that they were not counted), ERR_RANGE (a run that
     * the tokenizer does not take, text_runs.h) or ERR_CANCELLED (`stop`, which may be NULL, was
     * set; it is looked at between pieces). Its caller has TEXT_STACK_BYTES of stack, or a short
     * text. */
    int32_t (*tokenize)(void *ud, struct str text, int32_t *ret_tokens, int32_t cap,
                        const atomic_bool *stop);
    /* Bytes of a token's text (not always whole characters); a special one's only where `special`.
     * At most `cap` are written. */
    size_t (*piece)(void *ud, int32_t token, bool special, char *ret_text, size_t cap);
    /* Whether this token ends an answer. */
    bool (*is_end)(void *ud, int32_t token);
    /* From now on a pass may end early, with ERR_CANCELLED, while *give_up is true; it is set by
     * other threads and outlives the passes. NULL: none does. What the pass left in the cache is to
     * be forgotten. */
    void (*heed)(void *ud, const atomic_bool *give_up);
    /* One forward pass. 0, ERR_MODEL or ERR_CANCELLED. */
    int (*decode)(void *ud, const struct model_row *rows, int32_t n);
    /* Logits of row `row` of the last pass, which wanted them; may be changed in place. */
    float *(*logits)(void *ud, int32_t row);
    /* Forget a sequence's KV cache. */
    void (*forget)(void *ud, int32_t seq);
    /* Make the KV cache of `to` that of `from`. */
    void (*copy)(void *ud, int32_t from, int32_t to);
};

#endif
