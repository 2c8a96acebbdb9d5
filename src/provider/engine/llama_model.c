/* SPDX-License-Identifier: Apache-2.0 */
#include "provider/engine/llama_model.h"

#include <ggml-backend.h>
#include <llama.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpus.h"
#include "provider/engine/chat_shim.h"
#include "provider/engine/gguf_types.h"
#include "provider/engine/model_files.h"
#include "provider/engine/tokenizer.h"

/* Structs are passed by value and change between releases: header and library must be one. */
static const char expected_version[] = "0.5.0";

enum { DEFAULT_CONTEXT_TOKENS = 2048 };

struct gguf {
    struct llama_model *model;
    struct llama_context *context;
    const struct llama_vocab *vocab;
    struct chat_shim *chat;
    struct llama_batch batch;
    ggml_threadpool_t pool;
    void (*pool_free)(ggml_threadpool_t pool);
    struct model_limits limits;
    struct tokenizer tokenizer;
    struct gguf_info info;
};

/* --- loading --- */

static void gguf_only_errors(enum ggml_log_level level, const char *text, void *ud)
{
    (void)ud;
    if (level == GGML_LOG_LEVEL_ERROR)
        fputs(text, stderr);
}

static int gguf_check_library(const char *backends, struct err *ret_err)
{
    if (strncmp(llama_version(), expected_version, sizeof expected_version - 1) != 0)
        return err_set(ret_err, ERR_CONFIG,
                       "libllama is version %.40s, but this program needs %s; run `make run` to "
                       "fetch it again",
                       llama_version(), expected_version);
    llama_log_set(gguf_only_errors, NULL);
    ggml_backend_load_all_from_path(backends);
    if (ggml_backend_dev_count() == 0)
        return err_set(ret_err, ERR_CONFIG, "no CPU variant of libggml is in %.150s", backends);
    llama_backend_init();
    return 0;
}

/* A core that computes nothing costs more tokens than the loop's share of one, also on two cores.
 */
static int32_t gguf_thread_count(int32_t wanted)
{
    return wanted > 0 ? wanted : (int32_t)cpus_cores("");
}

/* The library would make threads for each pass without a pool. The CPU backend is a plug-in, so its
 * functions are reached through the registry. */
static void gguf_attach_pool(struct gguf *m, int32_t threads)
{
    ggml_backend_dev_t dev = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
    ggml_backend_reg_t reg = dev ? ggml_backend_dev_backend_reg(dev) : NULL;
    struct ggml_threadpool_params params;
    union {
        void *p;
        ggml_threadpool_t (*make)(struct ggml_threadpool_params *params);
        void (*free)(ggml_threadpool_t pool);
    } make = {NULL}, release = {NULL};

    if (!reg)
        return;
    make.p = ggml_backend_reg_get_proc_address(reg, "ggml_threadpool_new");
    release.p = ggml_backend_reg_get_proc_address(reg, "ggml_threadpool_free");
    if (!make.p || !release.p)
        return;
    params = ggml_threadpool_params_default(threads);
    m->pool = make.make(&params);
    m->pool_free = release.free;
    if (m->pool)
        llama_attach_threadpool(m->context, m->pool, m->pool);
}

static struct llama_context_params gguf_context_params(const struct llama_model_config *config,
                                                       int32_t context_tokens)
{
    struct llama_context_params p = llama_context_default_params();

    p.n_ctx = (uint32_t)(context_tokens * config->slots);
    p.n_seq_max = (uint32_t)config->slots;
    p.n_batch = (uint32_t)(config->chunk_tokens + config->slots);
    p.n_ubatch = p.n_batch;
    p.n_outputs_max = p.n_seq_max; /* a row of logits each; room for n_batch of them otherwise */
    p.n_threads = p.n_threads_batch = gguf_thread_count(config->threads);
    p.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_ENABLED;
    p.kv_unified = false;
    p.type_k = GGML_TYPE_F16;
    p.type_v = config->invariant ? GGML_TYPE_BF16 : GGML_TYPE_F16;
    p.no_perf = true;
    return p;
}

static int32_t gguf_context_of(const struct llama_model_config *config,
                               const struct llama_model *model)
{
    int32_t trained = llama_model_n_ctx_train(model);
    int32_t n = config->context_tokens > 0 ? config->context_tokens : DEFAULT_CONTEXT_TOKENS;

    return trained > 0 && n > trained ? trained : n;
}

/* Of any token, special ones included: a longer text per token of context need not be tokenised to
 * be refused. */
static int32_t gguf_longest_piece(const struct llama_vocab *vocab)
{
    int32_t longest = 1;

    for (int32_t i = 0; i < llama_vocab_n_tokens(vocab); i++) {
        int32_t needed = -llama_token_to_piece(vocab, i, NULL, 0, 0, true);

        longest = needed > longest ? needed : longest;
    }
    return longest;
}

/* Through the open files: what was checked and hashed is what is mapped. */
static int gguf_load_weights(struct gguf *m, const struct model_files *files, struct err *ret_err)
{
    const char *paths[GGUF_MAX_SHARDS];

    for (size_t i = 0; i < files->n; i++)
        paths[i] = files->files[i].fd_path;
    /* Repacked K-quants are not invariant; Q4_0 and Q8_0 are, but only the check at start tells. */
    m->model = llama_model_load_from_splits(paths, files->n, llama_model_default_params());
    if (!m->model)
        return err_set(ret_err, ERR_CONFIG, "%.150s is no GGUF model that libllama can load",
                       files->files[0].path);
    return model_files_unchanged(files, ret_err);
}

static int gguf_load(struct gguf *m, const struct llama_model_config *config, struct err *ret_err)
{
    struct llama_context_params cp;

    cp = gguf_context_params(config, gguf_context_of(config, m->model));
    m->context = llama_init_from_model(m->model, cp);
    if (!m->context)
        return err_set(ret_err, ERR_CONFIG,
                       "libllama makes no context of %d slots with %d tokens each for this model: "
                       "memory may be short (lower model.slots or model.context_tokens), or the "
                       "model's attention has no such cache (model.numerics fast)",
                       config->slots, gguf_context_of(config, m->model));
    m->chat = chat_shim_new(m->model);
    if (!m->chat)
        return err_set(ret_err, ERR_CONFIG, "the chat template of %.150s cannot be read",
                       config->path);
    m->vocab = llama_model_get_vocab(m->model);
    m->batch = llama_batch_init((int32_t)cp.n_batch, 0, 1);
    gguf_attach_pool(m, cp.n_threads);
    m->limits = (struct model_limits){.vocab = llama_vocab_n_tokens(m->vocab),
                                      .context_tokens = (int32_t)llama_n_ctx_seq(m->context),
                                      .max_seqs = config->slots,
                                      .max_rows = (int32_t)cp.n_batch,
                                      .longest_piece_bytes = gguf_longest_piece(m->vocab)};
    return 0;
}

static void gguf_describe(struct gguf *m, const struct gguf_facts *facts)
{
    const char *quantization =
        facts->file_type < 0 ? NULL : gguf_file_type_name((uint32_t)facts->file_type);

    llama_model_desc(m->model, m->info.description, sizeof m->info.description);
    snprintf(m->info.quantization, sizeof m->info.quantization, "%s",
             quantization ? quantization : "");
    m->info.size_bytes = llama_model_size(m->model);
}

static int gguf_open_files(struct gguf *m, const struct llama_model_config *config,
                           struct err *ret_err)
{
    struct model_files files;
    int rc = model_files_open(config->path, &files, ret_err);

    if (rc < 0)
        return rc;
    rc = model_files_hash(&files, m->info.weight_hash, ret_err);
    if (rc == 0)
        rc = gguf_load_weights(m, &files, ret_err);
    if (rc == 0)
        gguf_describe(m, &files.facts);
    if (rc == 0 && tokenizer_init(&m->tokenizer, llama_model_get_vocab(m->model),
                                  str_from(files.facts.tokenizer), str_from(files.facts.pre)) < 0)
        rc = err_set(ret_err, ERR_NOMEM, "out of memory for the model's tokenizer");
    model_files_close(&files);
    return rc;
}

int gguf_open(const struct llama_model_config *config, struct gguf **ret_model, struct err *ret_err)
{
    struct gguf *m = calloc(1, sizeof *m);
    int rc;

    if (!m)
        return err_set(ret_err, ERR_NOMEM, "out of memory for the model");
    rc = gguf_check_library(config->backends, ret_err);
    if (rc == 0)
        rc = gguf_open_files(m, config, ret_err);
    if (rc == 0)
        rc = gguf_load(m, config, ret_err);
    if (rc != 0) {
        gguf_close(m);
        return rc;
    }
    *ret_model = m;
    return 0;
}

void gguf_close(struct gguf *m)
{
    if (!m)
        return;
    chat_shim_free(m->chat);
    tokenizer_free(&m->tokenizer);
    if (m->context)
        llama_detach_threadpool(m->context);
    if (m->pool)
        m->pool_free(m->pool);
    if (m->batch.token)
        llama_batch_free(m->batch);
    if (m->context)
        llama_free(m->context);
    if (m->model)
        llama_model_free(m->model);
    free(m);
}

struct gguf_info gguf_info(const struct gguf *m)
{
    return m->info;
}

/* --- the operations --- */

static struct model_limits gguf_limits(void *ud)
{
    return ((struct gguf *)ud)->limits;
}

static int gguf_render(void *ud, const struct form_ask *ask, struct buf *out, struct form *ret_form,
                       enum engine_wrong *ret_wrong)
{
    struct gguf *m = ud;

    return form_render(m->chat, m->vocab, ask, out, ret_form, ret_wrong);
}

static int32_t gguf_tokenize(void *ud, struct str text, int32_t *ret_tokens, int32_t cap,
                             const atomic_bool *stop)
{
    return tokenizer_run(&((struct gguf *)ud)->tokenizer, text, ret_tokens, cap, stop);
}

static size_t gguf_piece(void *ud, int32_t token, bool special, char *ret_text, size_t cap)
{
    struct gguf *m = ud;
    int32_t n = llama_token_to_piece(m->vocab, token, ret_text, (int32_t)cap, 0, special);

    return n > 0 ? (size_t)n : 0;
}

static bool gguf_is_end(void *ud, int32_t token)
{
    return llama_vocab_is_eog(((struct gguf *)ud)->vocab, token);
}

/* On a compute thread, between the nodes of the graph. */
static bool gguf_is_given_up(void *ud)
{
    return atomic_load_explicit((const atomic_bool *)ud, memory_order_relaxed);
}

static void gguf_heed(void *ud, const atomic_bool *give_up)
{
    llama_set_abort_callback(((struct gguf *)ud)->context, give_up ? gguf_is_given_up : NULL,
                             (void *)give_up);
}

/* llama.h: 0 is success, 2 is a pass that the callback ended. */
static int gguf_decode_rc(int32_t rc)
{
    return rc == 0 ? 0 : rc == 2 ? ERR_CANCELLED : ERR_MODEL;
}

static int gguf_decode(void *ud, const struct model_row *rows, int32_t n)
{
    struct gguf *m = ud;
    struct llama_batch *b = &m->batch;
    int rc;

    for (int32_t i = 0; i < n; i++) {
        b->token[i] = rows[i].token;
        b->pos[i] = rows[i].pos;
        b->n_seq_id[i] = 1;
        b->seq_id[i][0] = rows[i].seq;
        b->logits[i] = rows[i].want_logits;
    }
    b->n_tokens = n;
    rc = gguf_decode_rc(llama_decode(m->context, *b));
    llama_synchronize(m->context);
    sodium_memzero(b->token, (size_t)n * sizeof *b->token); /* they are prompts */
    return rc;
}

static float *gguf_logits(void *ud, int32_t row)
{
    return llama_get_logits_ith(((struct gguf *)ud)->context, row);
}

static void gguf_forget(void *ud, int32_t seq)
{
    struct gguf *m = ud;

    llama_memory_seq_rm(llama_get_memory(m->context), seq, -1, -1);
}

/* Only whole sequences: of a part the library would end the process. */
static void gguf_copy(void *ud, int32_t from, int32_t to)
{
    struct gguf *m = ud;

    gguf_forget(m, to);
    llama_memory_seq_cp(llama_get_memory(m->context), from, to, -1, -1);
}

const struct model_ops gguf_ops = {.limits = gguf_limits,
                                   .render = gguf_render,
                                   .tokenize = gguf_tokenize,
                                   .piece = gguf_piece,
                                   .is_end = gguf_is_end,
                                   .heed = gguf_heed,
                                   .decode = gguf_decode,
                                   .logits = gguf_logits,
                                   .forget = gguf_forget,
                                   .copy = gguf_copy};
