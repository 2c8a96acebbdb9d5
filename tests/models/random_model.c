/* SPDX-License-Identifier: Apache-2.0 */
#include "random_model.h"

#include <ggml.h>
#include <gguf.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    TENSORS_MAX = 512,
    SPECIALS = 3,
    BYTES = 256,
    TEXT_BYTES = 16,
    LETTERS = 26,
    MERGES = LETTERS + LETTERS * LETTERS + LETTERS * LETTERS * LETTERS,
    ROWS_DISTINCT =
        1024, /* of a matrix inside of layers: what a row costs does not depend on its twins */
    ALIGNMENT = 32
};

struct shape {
    const char *name;
    int32_t layers, width, heads, kv_heads, head_width, hidden, vocab, context;
    bool tied; /* the output is the embedding */
    float rope_base;
};

static const struct shape shapes[] = {
    {"llama-8b", 32, 4096, 32, 8, 128, 14336, 128256, 131072, false, 500000},
    {"llama-1b", 16, 2048, 32, 8, 64, 8192, 128256, 131072, true, 500000},
    {"tiny", 2, 256, 4, 2, 64, 512, 20480, 8192, true, 10000},
};

struct tensor {
    char name[64];
    int64_t columns, rows; /* rows 0: a vector of F32 around 1 */
    bool distinct;         /* each row is another */
};

struct making {
    const struct shape *shape;
    enum ggml_type type;
    struct gguf_context *file;
    struct ggml_context *ggml;
    struct tensor tensors[TENSORS_MAX];
    int n;
    uint64_t random;
};

/* xorshift64* (Vigna 2016). */
static uint64_t random_next(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545F4914F6CDD1DULL;
}

/* The sum of four uniform numbers, of variance 1: near enough to a normal one. */
static float random_normal(uint64_t *state)
{
    uint64_t bits = random_next(state);
    float sum = 0;

    for (int i = 0; i < 4; i++, bits >>= 16)
        sum += (float)(bits & 0xFFFF) / 65535.0F;
    return (sum - 2.0F) * 1.7320508F;
}

/* --- vocabulary --- */

static void random_model_utf8(int32_t c, char *ret_text)
{
    if (c < 0x80)
        snprintf(ret_text, TEXT_BYTES, "%c", c);
    else
        snprintf(ret_text, TEXT_BYTES, "%c%c", 0xC0 | c >> 6, 0x80 | (c & 0x3F));
}

/* GPT-2's letter for a byte: printable ones stand for themselves, the others for what follows
 * U+00FF. */
static bool random_model_is_printable(int32_t byte)
{
    return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

static int32_t random_model_letter(int32_t byte)
{
    int32_t at = 0x100;

    if (random_model_is_printable(byte))
        return byte;
    for (int32_t i = 0; i < byte; i++)
        at += !random_model_is_printable(i);
    return at;
}

/* The `n`th word of `letters` letters behind a space, as GPT-2 writes it. */
static void random_model_word(int32_t n, int letters, char *ret_text)
{
    memcpy(ret_text, "\xC4\xA0", 2);
    for (int i = letters; i > 0; i--, n /= LETTERS)
        ret_text[1 + i] = (char)('a' + n % LETTERS);
    ret_text[2 + letters] = '\0';
}

/* Special tokens, bytes, words of one, two and three letters, which the merges build, then longer
 * ones, which only an answer says. */
static void random_model_token(int32_t i, char *ret_text)
{
    static const char *const specials[SPECIALS] = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"};
    int32_t n = LETTERS;

    if (i < SPECIALS) {
        snprintf(ret_text, TEXT_BYTES, "%s", specials[i]);
        return;
    }
    i -= SPECIALS;
    if (i < BYTES) {
        random_model_utf8(random_model_letter(i), ret_text);
        return;
    }
    i -= BYTES;
    for (int letters = 1;; letters++, n *= LETTERS) {
        if (i < n) {
            random_model_word(i, letters, ret_text);
            return;
        }
        i -= n;
    }
}

/* "Ġa b" makes "Ġab". */
static void random_model_merge(int32_t i, char *ret_text)
{
    char word[TEXT_BYTES];
    size_t n;

    random_model_token(SPECIALS + BYTES + i, word);
    n = strlen(word);
    snprintf(ret_text, TEXT_BYTES, "%.*s %c", (int)(n - 1), word, word[n - 1]);
}

static int random_model_strings(struct making *m, const char *key, int32_t n,
                                void (*make)(int32_t i, char *ret_text))
{
    char(*texts)[TEXT_BYTES] = calloc((size_t)n, TEXT_BYTES);
    const char **at = calloc((size_t)n, sizeof *at);
    bool ok = texts && at;

    for (int32_t i = 0; ok && i < n; i++) {
        make(i, texts[i]);
        at[i] = texts[i];
    }
    if (ok)
        gguf_set_arr_str(m->file, key, at, (size_t)n);
    free(at);
    free(texts);
    return ok ? 0 : -1;
}

static int random_model_vocabulary(struct making *m)
{
    enum { NORMAL = 1, CONTROL = 3 };
    int32_t *kinds = calloc((size_t)m->shape->vocab, sizeof *kinds);

    if (!kinds)
        return -1;
    for (int32_t i = 0; i < m->shape->vocab; i++)
        kinds[i] = i < SPECIALS ? CONTROL : NORMAL;
    gguf_set_val_str(m->file, "tokenizer.ggml.model", "gpt2");
    gguf_set_val_str(m->file, "tokenizer.ggml.pre", "smollm");
    gguf_set_arr_data(m->file, "tokenizer.ggml.token_type", GGUF_TYPE_INT32, kinds,
                      (size_t)m->shape->vocab);
    free(kinds);
    gguf_set_val_u32(m->file, "tokenizer.ggml.bos_token_id", 1);
    gguf_set_val_u32(m->file, "tokenizer.ggml.eos_token_id", 2);
    gguf_set_val_bool(m->file, "tokenizer.ggml.add_bos_token", false);
    gguf_set_val_str(m->file, "tokenizer.chat_template",
                     "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] "
                     "+ '<|im_end|>\\n' }}{% endfor %}{% if add_generation_prompt %}"
                     "{{ '<|im_start|>assistant\\n' }}{% endif %}");
    if (random_model_strings(m, "tokenizer.ggml.tokens", m->shape->vocab, random_model_token) < 0)
        return -1;
    return random_model_strings(m, "tokenizer.ggml.merges", MERGES, random_model_merge);
}

/* --- shape --- */

static void random_model_numbers(struct making *m)
{
    const struct shape *s = m->shape;
    const struct {
        const char *key;
        int32_t value;
    } numbers[] = {
        {"llama.block_count", s->layers},
        {"llama.context_length", s->context},
        {"llama.embedding_length", s->width},
        {"llama.feed_forward_length", s->hidden},
        {"llama.attention.head_count", s->heads},
        {"llama.attention.head_count_kv", s->kv_heads},
        {"llama.attention.key_length", s->head_width},
        {"llama.attention.value_length", s->head_width},
        {"llama.rope.dimension_count", s->head_width},
        {"llama.vocab_size", s->vocab},
    };

    gguf_set_val_str(m->file, "general.architecture", "llama");
    gguf_set_val_str(m->file, "general.name", s->name);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        gguf_set_val_u32(m->file, numbers[i].key, (uint32_t)numbers[i].value);
    gguf_set_val_f32(m->file, "llama.attention.layer_norm_rms_epsilon", 1e-5F);
    gguf_set_val_f32(m->file, "llama.rope.freq_base", s->rope_base);
}

static void random_model_add(struct making *m, const char *name, int64_t columns, int64_t rows,
                             bool distinct)
{
    struct tensor *t = &m->tensors[m->n++];
    struct ggml_tensor *g = rows ? ggml_new_tensor_2d(m->ggml, m->type, columns, rows)
                                 : ggml_new_tensor_1d(m->ggml, GGML_TYPE_F32, columns);

    *t = (struct tensor){.columns = columns, .rows = rows, .distinct = distinct};
    snprintf(t->name, sizeof t->name, "%s.weight", name);
    ggml_set_name(g, t->name);
    gguf_add_tensor(m->file, g);
}

static void random_model_add_layer(struct making *m, int32_t layer)
{
    const struct shape *s = m->shape;
    const int64_t q = (int64_t)s->heads * s->head_width, kv = (int64_t)s->kv_heads * s->head_width;
    const struct {
        const char *name;
        int64_t columns, rows;
    } parts[] = {
        {"attn_norm", s->width, 0},        {"attn_q", s->width, q},
        {"attn_k", s->width, kv},          {"attn_v", s->width, kv},
        {"attn_output", q, s->width},      {"ffn_norm", s->width, 0},
        {"ffn_gate", s->width, s->hidden}, {"ffn_up", s->width, s->hidden},
        {"ffn_down", s->hidden, s->width},
    };
    char name[48];

    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        snprintf(name, sizeof name, "blk.%d.%s", layer, parts[i].name);
        random_model_add(m, name, parts[i].columns, parts[i].rows, false);
    }
}

static void random_model_add_all(struct making *m)
{
    const struct shape *s = m->shape;

    random_model_add(m, "token_embd", s->width, s->vocab, true);
    random_model_add(m, "output_norm", s->width, 0, false);
    if (!s->tied)
        random_model_add(m, "output", s->width, s->vocab, true);
    for (int32_t i = 0; i < s->layers; i++)
        random_model_add_layer(m, i);
}

/* --- weights --- */

static size_t random_model_row_bytes(const struct making *m, const struct tensor *t)
{
    return ggml_row_size(t->rows ? m->type : GGML_TYPE_F32, t->columns);
}

static void random_model_fill(struct making *m, const struct tensor *t, float *row, void *ret_row)
{
    for (int64_t i = 0; i < t->columns; i++)
        row[i] =
            t->rows ? 0.02F * random_normal(&m->random) : 1 + 0.05F * random_normal(&m->random);
    if (t->rows)
        ggml_quantize_chunk(m->type, row, ret_row, 0, 1, t->columns, NULL);
    else
        memcpy(ret_row, row, (size_t)t->columns * sizeof *row);
}

static int random_model_write_tensor(struct making *m, const struct tensor *t, FILE *f)
{
    size_t bytes = random_model_row_bytes(m, t);
    int64_t rows = t->rows ? t->rows : 1,
            made = t->distinct || rows < ROWS_DISTINCT ? rows : ROWS_DISTINCT;
    char *pool = calloc((size_t)made, bytes);
    float *row = calloc((size_t)t->columns, sizeof *row);
    static const char zeros[ALIGNMENT];
    size_t pad = (ALIGNMENT - bytes * (size_t)rows % ALIGNMENT) % ALIGNMENT;
    bool ok = pool && row;

    for (int64_t i = 0; ok && i < made; i++)
        random_model_fill(m, t, row, pool + (size_t)i * bytes);
    for (int64_t i = 0; ok && i < rows; i++)
        ok = fwrite(pool + (size_t)(i % made) * bytes, bytes, 1, f) == 1;
    ok = ok && fwrite(zeros, 1, pad, f) == pad;
    free(row);
    free(pool);
    return ok ? 0 : -1;
}

static int random_model_write_file(struct making *m, const char *path)
{
    FILE *f;
    int rc = 0;

    random_model_numbers(m);
    random_model_add_all(m);
    if (random_model_vocabulary(m) < 0 || !gguf_write_to_file(m->file, path, true))
        return -1;
    f = fopen(path, "ab");
    if (!f)
        return -1;
    for (int i = 0; rc == 0 && i < m->n; i++)
        rc = random_model_write_tensor(m, &m->tensors[i], f);
    return fclose(f) == 0 ? rc : -1;
}

static enum ggml_type random_model_type(const char *name)
{
    for (int i = 0; i < GGML_TYPE_COUNT; i++) {
        const char *its = ggml_type_name((enum ggml_type)i);

        if (its && strcmp(its, name) == 0)
            return (enum ggml_type)i;
    }
    return GGML_TYPE_COUNT;
}

int random_model_write(const char *shape, const char *type, const char *path, const char **ret_why)
{
    const struct ggml_init_params params = {(size_t)TENSORS_MAX * ggml_tensor_overhead(), NULL,
                                            true};
    struct making *m = calloc(1, sizeof *m);
    int rc = -1;

    *ret_why = "out of memory";
    if (!m)
        return -1;
    m->random = 0x9E3779B97F4A7C15ULL;
    m->type = random_model_type(type);
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        m->shape = strcmp(shapes[i].name, shape) == 0 ? &shapes[i] : m->shape;
    if (!m->shape || m->type == GGML_TYPE_COUNT) {
        *ret_why = m->shape ? "no such type" : "no such shape";
        free(m);
        return -1;
    }
    m->file = gguf_init_empty();
    m->ggml = ggml_init(params);
    if (m->file && m->ggml)
        rc = random_model_write_file(m, path);
    *ret_why = "the file cannot be written";
    ggml_free(m->ggml);
    gguf_free(m->file);
    free(m);
    return rc;
}
