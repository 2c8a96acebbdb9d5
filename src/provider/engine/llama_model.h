/* SPDX-License-Identifier: Apache-2.0 */
/* A GGUF model through libllama's C API: one context, one KV stream a sequence. */
#ifndef DARKBLOOM_PROVIDER_ENGINE_LLAMA_MODEL_H
#define DARKBLOOM_PROVIDER_ENGINE_LLAMA_MODEL_H

#include "provider/engine/model_ops.h"
#include "provider/file_hash.h"

struct llama_model_config {
    const char *path;       /* of the GGUF file */
    const char *backends;   /* directory of the CPU variants */
    int32_t slots;          /* sequences at once */
    int32_t context_tokens; /* of each; 0: the smaller of 2048 and the model's own */
    int32_t chunk_tokens;   /* prompt tokens in one pass, at most; engine_open: 0 chooses */
    int32_t threads;        /* 0: the physical cores that it may use */
    bool invariant;         /* K F16 and V BF16: rows do not depend on their neighbours */
};

struct gguf;

/* Load. ERR_CONFIG or ERR_IO with the file and the way out; also when libllama is not of the
 * release that this program was compiled against. */
int gguf_open(const struct llama_model_config *config, struct gguf **ret_model,
              struct err *ret_err);
void gguf_close(struct gguf *m);

extern const struct model_ops gguf_ops; /* ud: struct gguf */

struct gguf_info {
    char description[128]; /* "llama 135M Q4_1" */
    char quantization[32]; /* "Q4_1" */
    uint64_t size_bytes;
    char weight_hash[FILE_HASH_BYTES];
};
struct gguf_info gguf_info(const struct gguf *m);

#endif
