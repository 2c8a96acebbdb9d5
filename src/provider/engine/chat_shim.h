/* SPDX-License-Identifier: Apache-2.0 */
/* Chat templates through libllama-common, which is C++ without a C interface: the one C++ file of
 * this room. Every exception ends here. */
#ifndef DARKBLOOM_PROVIDER_ENGINE_CHAT_SHIM_H
#define DARKBLOOM_PROVIDER_ENGINE_CHAT_SHIM_H

#ifdef __cplusplus
extern "C" {
#endif

#include <stddef.h>

struct llama_model;
struct chat_shim;

/* The model's own template (or the library's for models without one). NULL: it cannot be read. */
struct chat_shim *chat_shim_new(const struct llama_model *model);
void chat_shim_free(struct chat_shim *s);

/* Render an OpenAI messages array (JSON of `n` bytes) with the prompt for an answer behind it.
 * `take` gets the text once. 0; -1: not renderable; otherwise what `take` returned. */
int chat_shim_render(struct chat_shim *s, const char *messages, size_t n,
                     int (*take)(void *ud, const char *text, size_t n), void *ud);

#ifdef __cplusplus
}
#endif

#endif
