/* SPDX-License-Identifier: Apache-2.0 */
/* A model of a vocabulary and a chat template, without weights: what renders, tokenises and reads
 * needs no more. Tokens are single bytes, and a few special ones. */
#ifndef DARKBLOOM_TESTS_UNIT_PROVIDER_FAKE_VOCAB_H
#define DARKBLOOM_TESTS_UNIT_PROVIDER_FAKE_VOCAB_H

#include <llama.h>

/* Written to a file that is gone again when it returns. Fails the test where it cannot. */
struct llama_model *fake_vocab_open(const char *chat_template);

/* The token of a special text, or of a byte. */
int32_t fake_vocab_token(const struct llama_model *model, const char *text);

#endif
