/* SPDX-License-Identifier: Apache-2.0 */
/* A long text goes to the library in pieces, and its tokens are those of the whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <llama.h>
#include <stdlib.h>

#include "fake_family.h"

enum { MOST_TOKENS = 256 << 10, TEXT_BYTES = 2 << 20 };

/* Each expression that the library has. */
static const struct family {
    const char *name;
    enum fake_family_kind family;
    const char *pre;
} families[] = {
    {"spm", FAKE_SPM, NULL},
    {"wpm", FAKE_WPM, NULL},
    {"ugm", FAKE_UGM, NULL},
    {"rwkv", FAKE_RWKV, NULL},
    {"gpt-2", FAKE_BPE, "gpt-2"},
    {"llama-bpe", FAKE_BPE, "llama-bpe"},
    {"qwen2", FAKE_BPE, "qwen2"},
    {"gpt-4o", FAKE_BPE, "gpt-4o"},
    {"deepseek-llm", FAKE_BPE, "deepseek-llm"},
    {"deepseek-v3", FAKE_BPE, "deepseek-v3"},
    {"exaone-moe", FAKE_BPE, "exaone-moe"},
    {"superbpe", FAKE_BPE, "superbpe"},
    {"bpe of no name", FAKE_BPE, NULL},
    {"tekken", FAKE_BPE, "tekken"},
    {"deepseek-coder", FAKE_BPE, "deepseek-coder"},
    {"poro-chat", FAKE_BPE, "poro-chat"},
    {"falcon", FAKE_BPE, "falcon"},
    {"gemma4", FAKE_BPE, "gemma4"},
    {"jais-2", FAKE_BPE, "jais-2"},
    {"smaug-bpe", FAKE_BPE, "smaug-bpe"},
    {"joyai-llm", FAKE_BPE, "joyai-llm"},
    {"spark2_5", FAKE_BPE, "spark2_5"},
    {"youtu", FAKE_BPE, "youtu"},
    {"smollm", FAKE_BPE, "smollm"},
    {"qwen35", FAKE_BPE, "qwen35"},
    {"viking", FAKE_BPE, "viking"},
    {"chameleon", FAKE_BPE, "chameleon"},
    {"granite-embed-multi-97m", FAKE_BPE, "granite-embed-multi-97m"},
    {"tiny_aya", FAKE_BPE, "tiny_aya"},
    {"kimi-k2", FAKE_BPE, "kimi-k2"},
    {"bailingmoe", FAKE_BPE, "bailingmoe"},
    {"seed-coder", FAKE_BPE, "seed-coder"},
    {"ufakzeka", FAKE_BPE, "ufakzeka"},
    {"grok-2", FAKE_BPE, "grok-2"},
    {"afmoe", FAKE_BPE, "afmoe"},
    {"laguna", FAKE_BPE, "laguna"},
    {"minicpm5", FAKE_BPE, "minicpm5"},
    {"sarvam-moe", FAKE_BPE, "sarvam-moe"},
    {"talkie", FAKE_BPE, "talkie"},
    {"default", FAKE_BPE, "default"},
    {"glm4", FAKE_BPE, "glm4"},
};

enum { N_FAMILIES = sizeof families / sizeof families[0] };

/* Words and what stands between them, by a generator of its own. */
static struct str mixed_text(struct buf *b, uint32_t seed, size_t bytes)
{
    static const char *const parts[] = {
        "the",  "a",     "it's",         "I'LL",       "don't",        "aaaa",
        "Word", "naive", "12",           "3.14",       "(x)",          ".",
        ",",    "?!",    "--",           "e\314\201",  "\346\274\242", "\360\237\230\200",
        "the",  "of",    "http://x.y/z", "<|im_end|>", "<|im_start|>", "<b>",
        "_",    "thethe"};
    static const char *const gaps[] = {" ",  " ",  " ",    " ",  " ",  "",
                                       "  ", "\n", "\n\n", "\t", " \n"};

    buf_free(b);
    buf_init(b, TEXT_BYTES);
    while (buf_view(b).n < bytes) {
        seed = seed * 1664525U + 1013904223U;
        assert_int_equal(buf_append_str(b, str_from(parts[(seed >> 16) % 26])), 0);
        assert_int_equal(buf_append_str(b, str_from(gaps[(seed >> 8) % 11])), 0);
    }
    return buf_view(b);
}

/* Cut wherever it can be cut, a text has the tokens of the whole. */
static void check_pieces(struct fake_family *v, const char *name, struct str text)
{
    int32_t *whole = malloc(MOST_TOKENS * sizeof *whole);
    int32_t *cut = malloc(MOST_TOKENS * sizeof *cut);
    int32_t n =
        llama_tokenize(v->tokenizer.vocab, text.p, (int32_t)text.n, whole, MOST_TOKENS, true, true);

    assert_non_null(whole);
    assert_non_null(cut);
    v->tokenizer.piece_bytes = 1;
    if (tokenizer_run(&v->tokenizer, text, cut, MOST_TOKENS, NULL) != n ||
        memcmp(whole, cut, (size_t)n * sizeof *whole) != 0)
        fail_msg("%s: another text in pieces", name);
    v->tokenizer.piece_bytes = TOKENIZER_PIECE_BYTES;
    free(whole);
    free(cut);
}

static void a_text_in_pieces_has_the_tokens_of_the_whole(void **state)
{
    struct buf text = {0};
    size_t cutting = 0;

    (void)state;
    for (size_t f = 0; f < N_FAMILIES; f++) {
        const struct family *family = &families[f];
        struct fake_family v;

        fake_family_open(&v, family->family, family->pre);
        cutting += v.tokenizer.cuts_at_words;
        for (uint32_t seed = 1; seed <= 2; seed++)
            check_pieces(&v, family->name, mixed_text(&text, seed, 1000));
        fake_family_close(&v);
    }
    assert_true(cutting > 25);
    buf_free(&text);
}

/* Whole, the library would look at each of them for each: 1.8e9 steps. */
static void a_text_of_special_tokens_goes_in_pieces(void **state)
{
    struct buf text;
    struct fake_family v;
    int32_t *tokens;

    (void)state;
    fake_family_open(&v, FAKE_SPM, NULL);
    buf_init(&text, TEXT_BYTES);
    for (int i = 0; i < 60000; i++)
        assert_int_equal(buf_append_str(&text, STR("<|im_end|>")), 0);
    tokens = malloc(MOST_TOKENS * sizeof *tokens);
    assert_non_null(tokens);
    assert_int_equal(tokenizer_run(&v.tokenizer, buf_view(&text), tokens, MOST_TOKENS, NULL),
                     60001); /* behind the one that begins every text */
    free(tokens);
    buf_free(&text);
    fake_family_close(&v);
}

static void one_that_is_told_to_stop_ends_at_the_next_piece(void **state)
{
    const atomic_bool stop = true;
    struct fake_family v;
    int32_t tokens[8];

    (void)state;
    fake_family_open(&v, FAKE_BPE, "gpt-2");
    assert_int_equal(tokenizer_run(&v.tokenizer, STR("the"), tokens, 8, &stop), ERR_CANCELLED);
    fake_family_close(&v);
}

/* Counted as long as it may help to know how many there are; then it is only too long. */
static void what_is_far_too_long_is_not_tokenised_to_its_end(void **state)
{
    struct buf text = {0};
    int32_t tokens[8192];
    struct fake_family v;
    int32_t n;

    (void)state;
    fake_family_open(&v, FAKE_BPE, "qwen2");
    mixed_text(&text, 1, 2 * TOKENIZER_PIECE_BYTES);
    n = tokenizer_run(&v.tokenizer, buf_view(&text), tokens, 8192, NULL);
    assert_true(n > 8192 * 2);
    mixed_text(&text, 1, 32 * TOKENIZER_PIECE_BYTES);
    assert_int_equal(tokenizer_run(&v.tokenizer, buf_view(&text), tokens, 8192, NULL), ERR_LIMIT);
    buf_free(&text);
    fake_family_close(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_in_pieces_has_the_tokens_of_the_whole),
        cmocka_unit_test(a_text_of_special_tokens_goes_in_pieces),
        cmocka_unit_test(one_that_is_told_to_stop_ends_at_the_next_piece),
        cmocka_unit_test(what_is_far_too_long_is_not_tokenised_to_its_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
