/* SPDX-License-Identifier: Apache-2.0 */
/* Text → tokens by a vocabulary of libllama, with what the library cannot be given kept from it. A
 * long text goes in pieces, cut only where the tokenizer surely splits, so that it can be left
 * after each; the tokens are those of the whole. Reads only: any number of threads at a time. */
#ifndef DARKBLOOM_PROVIDER_ENGINE_TOKENIZER_H
#define DARKBLOOM_PROVIDER_ENGINE_TOKENIZER_H

#include <stdatomic.h>

#include "base/map.h"
#include "provider/engine/text_runs.h"

struct llama_vocab;

enum {
    TOKENIZER_PIECE_BYTES = 32 << 10, /* a piece is longer only where nothing can be cut */
    TOKENIZER_COUNTED = 4 /* times what fits; so far tokens that are too many are counted */
};

struct tokenizer {
    const struct llama_vocab *vocab;
    struct text_runs runs;
    size_t piece_bytes;  /* TOKENIZER_PIECE_BYTES; tests cut wherever it is possible */
    bool cuts_at_words;  /* before a space between two letters */
    struct map specials; /* texts behind which it can be cut; borrowed of the vocabulary */
};

/* `model` and `pre` are tokenizer.ggml.model and .pre of the file, .n 0 where it names none. 0 or
 * ERR_NOMEM. */
int tokenizer_init(struct tokenizer *t, const struct llama_vocab *vocab, struct str model,
                   struct str pre);
/* Zeroed ones are allowed. */
void tokenizer_free(struct tokenizer *t);

/* As model_ops.h's tokenize. Needs TEXT_STACK_BYTES of stack where the text has long runs. */
int32_t tokenizer_run(const struct tokenizer *t, struct str text, int32_t *ret_tokens, int32_t cap,
                      const atomic_bool *stop);

#endif
