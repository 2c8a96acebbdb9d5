/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/words.h"

#include <llama.h>
#include <stdbool.h>
#include <stdlib.h>

enum {
    WORDS_MAX = 4096,
    WORDS_LEAST = 32,
    LETTERS_MIN = 3,
    LETTERS_MAX = 12,
    BIAS_MAX_BYTES = 4096
};

struct words {
    char text[WORDS_MAX][LETTERS_MAX + 2]; /* " word" */
    uint32_t n;
    struct buf no_end;
};

static void words_say_nothing(enum ggml_log_level level, const char *text, void *ud)
{
    (void)level, (void)text, (void)ud;
}

static bool words_is_plain(const char *piece, int32_t n)
{
    if (n < 1 + LETTERS_MIN || n > 1 + LETTERS_MAX || piece[0] != ' ')
        return false;
    for (int32_t i = 1; i < n; i++) {
        if (piece[i] < 'a' || piece[i] > 'z')
            return false;
    }
    return true;
}

/* A piece counts where its text, behind a word, is that token alone again. */
static void words_take(struct words *w, const struct llama_vocab *vocab, llama_token token)
{
    llama_token back[4];
    char text[2 + 2 * LETTERS_MAX + 2] = "a";
    int32_t n = llama_token_to_piece(vocab, token, text + 1, LETTERS_MAX + 1, 0, false);

    if (w->n == WORDS_MAX || !words_is_plain(text + 1, n))
        return;
    if (llama_tokenize(vocab, text, n + 1, back, 4, false, false) != 2 || back[1] != token)
        return;
    memcpy(w->text[w->n], text + 1, (size_t)n);
    w->text[w->n++][n] = '\0';
}

static int words_take_ends(struct words *w, const struct llama_vocab *vocab)
{
    int rc = buf_append_str(&w->no_end, STR("{"));

    for (llama_token i = 0; rc == 0 && i < llama_vocab_n_tokens(vocab); i++) {
        if (llama_vocab_is_eog(vocab, i))
            rc = buf_printf(&w->no_end, "%s\"%d\":-100", w->no_end.len > 1 ? "," : "", i);
    }
    return rc == 0 ? buf_append_str(&w->no_end, STR("}")) : rc;
}

int words_open(const char *model_path, struct words **ret_words, struct err *ret_err)
{
    struct llama_model_params params = llama_model_default_params();
    struct words *w = calloc(1, sizeof *w);
    const struct llama_vocab *vocab;
    struct llama_model *model;

    if (!w)
        return ERR_NOMEM;
    buf_init(&w->no_end, BIAS_MAX_BYTES);
    llama_log_set(words_say_nothing, NULL);
    params.vocab_only = true;
    model = llama_model_load_from_file(model_path, params);
    vocab = model ? llama_model_get_vocab(model) : NULL;
    for (llama_token i = 0; vocab && i < llama_vocab_n_tokens(vocab); i++)
        words_take(w, vocab, i);
    if (vocab && words_take_ends(w, vocab) < 0)
        w->n = 0;
    llama_model_free(model);
    if (w->n < WORDS_LEAST) {
        words_close(w);
        return err_set(ret_err, ERR_MODEL, "%.150s %s", model_path,
                       vocab ? "has too few words that are one token" : "cannot be read");
    }
    *ret_words = w;
    return 0;
}

void words_close(struct words *w)
{
    if (w)
        buf_free(&w->no_end);
    free(w);
}

struct str words_no_end(const struct words *w)
{
    return buf_view(&w->no_end);
}

/* SplitMix64 (Steele, Lea, Flood 2014). */
static uint64_t words_next(uint64_t *state)
{
    uint64_t z = (*state += 0x9E3779B97F4A7C15ULL);

    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31);
}

int words_append(const struct words *w, uint64_t seed, int64_t n, struct buf *out)
{
    uint64_t state = seed;
    int rc = 0;

    for (int64_t i = 0; rc == 0 && i < n; i++)
        rc = buf_append_str(out, str_from(w->text[words_next(&state) % w->n]));
    return rc;
}
