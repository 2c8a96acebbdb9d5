/* SPDX-License-Identifier: Apache-2.0 */
/* Small vocabularies of every family of tokenizers, as GGUF files without weights. */
#ifndef DARKBLOOM_TESTS_UNIT_PROVIDER_FAKE_FAMILY_H
#define DARKBLOOM_TESTS_UNIT_PROVIDER_FAKE_FAMILY_H

#include "fake_gguf.h"
#include "provider/engine/tokenizer.h"

struct llama_model;

enum fake_family_kind { FAKE_SPM, FAKE_BPE, FAKE_WPM, FAKE_UGM, FAKE_RWKV };

/* Words of a few letters, runs of a letter, of spaces and of digits, every byte, and control tokens
 * "<|im_start|>", "<|im_end|>". `pre` is tokenizer.ggml.pre of the BPE family, NULL elsewhere. */
void fake_family_keys(struct fake_gguf *g, enum fake_family_kind family, const char *pre);

/* Such a vocabulary, loaded by the library, and its tokenizer. */
struct fake_family {
    struct llama_model *model;
    struct tokenizer tokenizer;
};

void fake_family_open(struct fake_family *v, enum fake_family_kind family, const char *pre);
void fake_family_close(struct fake_family *v);

#endif
