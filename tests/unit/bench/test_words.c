/* SPDX-License-Identifier: Apache-2.0 */
/* Prompts of an exact length, over a vocabulary that is made here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <llama.h>
#include <unistd.h>

#include "bench/words.h"
#include "models/random_model.h"

static const char path[] = "test_words.gguf";

static int make_model(void **state)
{
    const char *why = "";

    (void)state;
    assert_int_equal(random_model_write("tiny", "f16", path, &why), 0);
    return 0;
}

static int remove_model(void **state)
{
    (void)state;
    return unlink(path);
}

static void so_many_words_are_so_many_tokens(void **state)
{
    struct llama_model_params params = llama_model_default_params();
    llama_token tokens[300];
    struct llama_model *model;
    struct words *w;
    struct buf text;

    (void)state;
    assert_int_equal(words_open(path, &w, NULL), 0);
    buf_init(&text, 1 << 16);
    assert_int_equal(words_append(w, 7, 200, &text), 0);
    params.vocab_only = true;
    model = llama_model_load_from_file(path, params);
    assert_non_null(model);
    assert_int_equal(llama_tokenize(llama_model_get_vocab(model), buf_view(&text).p,
                                    (int32_t)text.len, tokens, 300, false, false),
                     200);
    llama_model_free(model);
    buf_free(&text);
    words_close(w);
}

static void a_seed_says_which(void **state)
{
    struct buf a, b, c;
    struct words *w;

    (void)state;
    assert_int_equal(words_open(path, &w, NULL), 0);
    buf_init(&a, 1 << 12);
    buf_init(&b, 1 << 12);
    buf_init(&c, 1 << 12);
    assert_int_equal(words_append(w, 1, 20, &a), 0);
    assert_int_equal(words_append(w, 1, 20, &b), 0);
    assert_int_equal(words_append(w, 2, 20, &c), 0);
    assert_true(str_eq(buf_view(&a), buf_view(&b)));
    assert_false(str_eq(buf_view(&a), buf_view(&c)));
    buf_free(&a);
    buf_free(&b);
    buf_free(&c);
    words_close(w);
}

static void tokens_that_end_an_answer_are_kept_back(void **state)
{
    struct words *w;

    (void)state;
    assert_int_equal(words_open(path, &w, NULL), 0);
    assert_non_null(memmem(words_no_end(w).p, words_no_end(w).n, "\"2\":-100", 8));
    assert_null(memmem(words_no_end(w).p, words_no_end(w).n, "\"300\":", 6));
    words_close(w);
}

static void what_is_no_model_is_refused_with_its_name(void **state)
{
    struct words *w;
    struct err e = {0};

    (void)state;
    assert_int_equal(words_open("/dev/null", &w, &e), ERR_MODEL);
    assert_non_null(strstr(e.text, "/dev/null"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(so_many_words_are_so_many_tokens),
        cmocka_unit_test(a_seed_says_which),
        cmocka_unit_test(tokens_that_end_an_answer_are_kept_back),
        cmocka_unit_test(what_is_no_model_is_refused_with_its_name),
    };

    return cmocka_run_group_tests(tests, make_model, remove_model);
}
