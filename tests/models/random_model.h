/* SPDX-License-Identifier: Apache-2.0 */
/* GGUF files with the shape of known models and random weights: for speed, where the real ones
 * cannot be had. What they say means nothing. Their vocabulary has each three-letter word behind a
 * space as one token, and each token a text. */
#ifndef TESTS_MODELS_RANDOM_MODEL_H
#define TESTS_MODELS_RANDOM_MODEL_H

/* `shape` is "llama-8b", "llama-1b" or "tiny", `type` a type of ggml's as it names them ("q4_0",
 * "q8_0", "f16"). 0, or -1 with *ret_why a sentence. */
int random_model_write(const char *shape, const char *type, const char *path, const char **ret_why);

#endif
