/* SPDX-License-Identifier: Apache-2.0 */
#include "provider/engine/tokenizer.h"

#include <llama.h>

enum { MOST_SPECIAL_BYTES = 64 };

/* --- where it can be cut --- */

/* Pre-tokenizers that do not always split at a space between letters. */
static const char *const joining[] = {"superbpe", "gemma4", "sarvam-moe", "exaone-moe"};

static bool tokenizer_splits_at_words(const struct llama_vocab *vocab, struct str model,
                                      struct str pre)
{
    if (llama_vocab_type(vocab) != LLAMA_VOCAB_TYPE_BPE || !str_is(model, "gpt2"))
        return false;
    for (size_t i = 0; i < sizeof joining / sizeof joining[0]; i++) {
        if (str_is(pre, joining[i]))
            return false;
    }
    return true;
}

static bool tokenizer_is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool tokenizer_is_between_words(struct str text, size_t at)
{
    return at > 0 && at + 1 < text.n && text.p[at] == ' ' && tokenizer_is_letter(text.p[at - 1]) &&
           tokenizer_is_letter(text.p[at + 1]);
}

/* Tokens that the library looks for in a text before anything else. */
static bool tokenizer_is_special(const struct llama_vocab *vocab, int32_t token)
{
    return (llama_vocab_get_attr(vocab, token) &
            (LLAMA_TOKEN_ATTR_CONTROL | LLAMA_TOKEN_ATTR_USER_DEFINED |
             LLAMA_TOKEN_ATTR_UNKNOWN)) != 0;
}

/* Such a token across a place between words. */
static bool tokenizer_crosses_words(struct str text)
{
    for (size_t i = 0; i < text.n; i++) {
        if (tokenizer_is_between_words(text, i))
            return true;
    }
    return false;
}

/* '<' first or not at all, '>' last or not at all: then none crosses the end of another. */
static bool tokenizer_is_bracketed(struct str text)
{
    return text.n > 0 && !memchr(text.p + 1, '<', text.n - 1) && !memchr(text.p, '>', text.n - 1);
}

static int tokenizer_add_special(struct tokenizer *t, int32_t token, struct str text)
{
    if (text.n < 2 || text.n > MOST_SPECIAL_BYTES || text.p[0] != '<' || text.p[text.n - 1] != '>')
        return 0;
    if (llama_vocab_get_attr(t->vocab, token) & LLAMA_TOKEN_ATTR_RSTRIP)
        return 0; /* it takes white space behind it along */
    return map_put(&t->specials, text, t);
}

/* What is put around a text would be put around each piece, but for what stands before it. */
static bool tokenizer_ends_texts(const struct llama_vocab *vocab)
{
    return llama_vocab_get_add_eos(vocab) || llama_vocab_get_add_sep(vocab) ||
           llama_vocab_type(vocab) == LLAMA_VOCAB_TYPE_WPM;
}

static int tokenizer_find_cuts(struct tokenizer *t)
{
    bool bracketed = true;
    int rc = 0;

    for (int32_t i = 0; rc == 0 && i < llama_vocab_n_tokens(t->vocab); i++) {
        struct str text;

        if (!tokenizer_is_special(t->vocab, i))
            continue;
        text = str_from(llama_vocab_get_text(t->vocab, i));
        bracketed &= tokenizer_is_bracketed(text);
        t->cuts_at_words &= !tokenizer_crosses_words(text);
        rc = tokenizer_add_special(t, i, text);
    }
    if (!bracketed)
        map_free(&t->specials);
    return rc;
}

int tokenizer_init(struct tokenizer *t, const struct llama_vocab *vocab, struct str model,
                   struct str pre)
{
    *t = (struct tokenizer){.vocab = vocab, .piece_bytes = TOKENIZER_PIECE_BYTES};
    if (llama_vocab_type(vocab) == LLAMA_VOCAB_TYPE_BPE)
        t->runs = text_runs_of(pre);
    if (tokenizer_ends_texts(vocab))
        return 0;
    t->cuts_at_words = tokenizer_splits_at_words(vocab, model, pre);
    return tokenizer_find_cuts(t);
}

void tokenizer_free(struct tokenizer *t)
{
    map_free(&t->specials);
}

static bool tokenizer_is_behind_special(const struct tokenizer *t, struct str text, size_t at)
{
    size_t from = at;

    if (t->specials.used == 0 || at == 0 || text.p[at - 1] != '>')
        return false;
    while (from > 0 && at - from < MOST_SPECIAL_BYTES && text.p[from - 1] != '<')
        from--;
    return from > 0 && map_get(&t->specials, (struct str){text.p + from - 1, at - from + 1});
}

/* The bytes of the first piece. */
static size_t tokenizer_piece(const struct tokenizer *t, struct str text)
{
    for (size_t i = t->piece_bytes; i < text.n; i++) {
        if ((t->cuts_at_words && tokenizer_is_between_words(text, i)) ||
            tokenizer_is_behind_special(t, text, i))
            return i;
    }
    return text.n;
}

/* --- texts --- */

/* How many tokens the piece has; those that there is room for are written. */
static int32_t tokenizer_run_piece(const struct tokenizer *t, struct str piece, bool first,
                                   int32_t *ret_tokens, int32_t room)
{
    int32_t n = llama_tokenize(t->vocab, piece.p, (int32_t)piece.n, ret_tokens, room, first, true);

    if (n == INT32_MIN)
        return ERR_LIMIT;
    return n < 0 ? -n : n; /* negative: over `room` */
}

int32_t tokenizer_run(const struct tokenizer *t, struct str text, int32_t *ret_tokens, int32_t cap,
                      const atomic_bool *stop)
{
    int64_t total = 0;
    bool first = true;

    if (text.n > INT32_MAX)
        return ERR_LIMIT;
    if (text_runs_check(&t->runs, text) < 0)
        return ERR_RANGE;
    while (first || text.n > 0) {
        struct str piece = {text.p, tokenizer_piece(t, text)};
        bool fits = total < cap;
        int32_t n;

        if (stop && atomic_load(stop))
            return ERR_CANCELLED;
        if (cap > 0 && total > (int64_t)cap * TOKENIZER_COUNTED)
            return ERR_LIMIT;
        n = tokenizer_run_piece(t, piece, first, fits ? ret_tokens + total : NULL,
                                fits ? cap - (int32_t)total : 0);
        if (n < 0)
            return n;
        total += n;
        text = (struct str){text.p + piece.n, text.n - piece.n};
        first = false;
    }
    return total > INT32_MAX ? ERR_LIMIT : (int32_t)total;
}
