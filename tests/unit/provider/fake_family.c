/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_family.h"

#include <llama.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    MOST_TOKENS = 1024,
    TEXT_BYTES = 24,
    MERGE_BYTES = 48,
    NORMAL = 1,
    UNKNOWN = 2,
    CONTROL = 3,
    BYTE = 6
};

struct vocab_keys {
    char texts[MOST_TOKENS][TEXT_BYTES];
    struct str tokens[MOST_TOKENS];
    float scores[MOST_TOKENS];
    int32_t types[MOST_TOKENS];
    char merge_texts[MOST_TOKENS][MERGE_BYTES];
    struct str merges[MOST_TOKENS];
    size_t n, n_merges;
};

static void fake_family_add(struct vocab_keys *v, const char *text, int32_t type)
{
    if (v->n >= MOST_TOKENS)
        abort();
    snprintf(v->texts[v->n], TEXT_BYTES, "%s", text);
    v->tokens[v->n] = str_from(v->texts[v->n]);
    v->scores[v->n] = -(float)v->n;
    v->types[v->n] = type;
    v->n++;
}

static void fake_family_merge(struct vocab_keys *v, const char *left, const char *right)
{
    char whole[TEXT_BYTES];

    snprintf(v->merge_texts[v->n_merges], MERGE_BYTES, "%s %s", left, right);
    v->merges[v->n_merges] = str_from(v->merge_texts[v->n_merges]);
    v->n_merges++;
    snprintf(whole, sizeof whole, "%s%s", left, right);
    fake_family_add(v, whole, NORMAL);
}

static void fake_family_utf8(uint32_t c, char ret_text[static 4])
{
    if (c < 0x80)
        snprintf(ret_text, 4, "%c", (char)c);
    else
        snprintf(ret_text, 4, "%c%c", (char)(0xC0 | c >> 6), (char)(0x80 | (c & 0x3F)));
}

/* BPE writes bytes as characters: those that print as they are, the others from U+0100 on. */
static void fake_family_add_byte_characters(struct vocab_keys *v)
{
    uint32_t next = 256;

    for (uint32_t b = 0; b < 256; b++) {
        bool prints = (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
        char text[4];

        fake_family_utf8(prints ? b : next++, text);
        fake_family_add(v, text, NORMAL);
    }
}

static void fake_family_add_bpe(struct vocab_keys *v)
{
    static const char space[] = "\304\240", newline[] = "\304\212";
    char run[TEXT_BYTES] = "", twice[TEXT_BYTES];

    fake_family_add_byte_characters(v);
    fake_family_merge(v, "t", "h");
    fake_family_merge(v, "th", "e");
    fake_family_merge(v, space, "the");
    fake_family_merge(v, "1", "2");
    fake_family_merge(v, newline, newline);
    fake_family_merge(v, space, space);
    snprintf(run, sizeof run, "a");
    for (int i = 0; i < 3; i++) { /* aa, aaaa, aaaaaaaa */
        fake_family_merge(v, run, run);
        snprintf(twice, sizeof twice, "%.11s%.11s", run, run);
        snprintf(run, sizeof run, "%s", twice);
    }
}

/* With a piece for each length of a run, as unigram models have. */
static void fake_family_add_pieces(struct vocab_keys *v)
{
    static const char *const pieces[] = {"the",
                                         "\342\226\201",
                                         "\342\226\201the",
                                         "\342\226\201\342\226\201",
                                         "aa",
                                         "aaa",
                                         "aaaa",
                                         "12",
                                         "\n",
                                         "\314\201",
                                         "\346\274\242",
                                         "\360\237\230\200"};

    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++)
        fake_family_add(v, pieces[i], NORMAL);
    for (char c = '!'; c <= '~'; c++)
        fake_family_add(v, (const char[]){c, 0}, NORMAL);
}

static void fake_family_add_spm(struct vocab_keys *v)
{
    fake_family_add(v, "<unk>", UNKNOWN);
    fake_family_add(v, "<s>", CONTROL);
    fake_family_add(v, "</s>", CONTROL);
    for (int b = 0; b < 256; b++) {
        char text[TEXT_BYTES];

        snprintf(text, sizeof text, "<0x%02X>", (unsigned)b);
        fake_family_add(v, text, BYTE);
    }
    fake_family_add_pieces(v);
}

static void fake_family_add_wpm(struct vocab_keys *v)
{
    fake_family_add(v, "[UNK]", UNKNOWN);
    fake_family_add(v, "[CLS]", CONTROL);
    fake_family_add(v, "[SEP]", CONTROL);
    fake_family_add_pieces(v);
    fake_family_add(v, "\342\226\201a", NORMAL);
}

static void fake_family_add_ugm(struct vocab_keys *v)
{
    fake_family_add(v, "<pad>", CONTROL);
    fake_family_add(v, "</s>", CONTROL);
    fake_family_add(v, "<unk>", UNKNOWN);
    fake_family_add_pieces(v);
}

static void fake_family_add_rwkv(struct vocab_keys *v)
{
    fake_family_add(v, "<s>", CONTROL);
    for (int b = 0; b < 256; b++) {
        char text[TEXT_BYTES];

        snprintf(text, sizeof text, "\\x%02x", (unsigned)b);
        fake_family_add(v, text, NORMAL);
    }
    fake_family_add(v, "the", NORMAL);
    fake_family_add(v, "aaaa", NORMAL);
}

static const struct {
    const char *model;
    void (*add)(struct vocab_keys *v);
    int unk, bos, sep;
} families[] = {
    [FAKE_SPM] = {"llama", fake_family_add_spm, 0, 1, 2},
    [FAKE_BPE] = {"gpt2", fake_family_add_bpe, 0, 0, 0},
    [FAKE_WPM] = {"bert", fake_family_add_wpm, 0, 1, 2},
    [FAKE_UGM] = {"t5", fake_family_add_ugm, 2, 1, 1},
    [FAKE_RWKV] = {"rwkv", fake_family_add_rwkv, 0, 0, 0},
};

void fake_family_keys(struct fake_gguf *g, enum fake_family_kind family, const char *pre)
{
    struct vocab_keys *v = calloc(1, sizeof *v);

    if (!v)
        abort();
    families[family].add(v);
    fake_family_add(v, "<|im_start|>", CONTROL);
    fake_family_add(v, "<|im_end|>", CONTROL);
    fake_gguf_key_text(g, "general.architecture", STR("llama"));
    fake_gguf_key_text(g, "tokenizer.ggml.model", str_from(families[family].model));
    if (pre)
        fake_gguf_key_text(g, "tokenizer.ggml.pre", str_from(pre));
    fake_gguf_key_texts(g, "tokenizer.ggml.tokens", v->tokens, v->n);
    fake_gguf_key_f32s(g, "tokenizer.ggml.scores", v->scores, v->n);
    fake_gguf_key_i32s(g, "tokenizer.ggml.token_type", v->types, v->n);
    if (family == FAKE_BPE)
        fake_gguf_key_texts(g, "tokenizer.ggml.merges", v->merges, v->n_merges);
    fake_gguf_key_u32(g, "tokenizer.ggml.unknown_token_id", (uint32_t)families[family].unk);
    fake_gguf_key_u32(g, "tokenizer.ggml.bos_token_id", (uint32_t)families[family].bos);
    fake_gguf_key_u32(g, "tokenizer.ggml.seperator_token_id", (uint32_t)families[family].sep);
    free(v);
}

static void fake_family_check(bool good)
{
    if (!good)
        abort();
}

/* --- a model of a vocabulary alone --- */

static void fake_family_only_errors(enum ggml_log_level level, const char *text, void *ud)
{
    (void)ud;
    if (level == GGML_LOG_LEVEL_ERROR)
        fputs(text, stderr);
}

void fake_family_open(struct fake_family *v, enum fake_family_kind family, const char *pre)
{
    char path[] = "/tmp/darkbloom-vocab-XXXXXX";
    int fd = mkstemp(path);
    struct llama_model_params params = llama_model_default_params();
    struct fake_gguf g;

    fake_family_check(fd >= 0);
    close(fd);
    fake_gguf_init(&g);
    fake_family_keys(&g, family, pre);
    fake_gguf_write(&g, path);
    fake_gguf_free(&g);
    params.vocab_only = true;
    llama_log_set(fake_family_only_errors, NULL);
    v->model = llama_model_load_from_file(path, params);
    unlink(path);
    fake_family_check(v->model != NULL);
    fake_family_check(tokenizer_init(&v->tokenizer, llama_model_get_vocab(v->model), STR("gpt2"),
                                     str_from(pre ? pre : "")) == 0);
}

void fake_family_close(struct fake_family *v)
{
    tokenizer_free(&v->tokenizer);
    llama_model_free(v->model);
}
