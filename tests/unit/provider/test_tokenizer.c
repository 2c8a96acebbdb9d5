/* SPDX-License-Identifier: Apache-2.0 */
/* Runs of one character under every family of tokenizers: taken or refused, never the end of the
 * process. The vocabularies are made here; the tokenizers are the pinned library's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "fake_family.h"
#include "provider/engine/deep_stack.h"
#include "provider/engine/tokenizer.h"

enum {
    MOST_TOKENS = 256 << 10,
    TEXT_BYTES = 2 << 20,
    SMALL_STACK_BYTES = 192 << 10,
    RUN_CHARS = 30000,
    RUN_STACK_BYTES = RUN_CHARS * TEXT_RUN_STACK_BYTES + (1 << 20)
};

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
};

enum { N_FAMILIES = sizeof families / sizeof families[0] };

static const struct {
    const char *name, *head, *unit, *tail;
} runs[] = {
    {"letters", "", "a", ""},
    {"capitals", "", "A", ""},
    {"spaces before a word", "", " ", "x"},
    {"spaces before a digit", "", " ", "1"},
    {"combining marks", "e", "\314\201", ""},
    {"emoji", "", "\360\237\230\200", ""},
    {"digits", "", "1", ""},
    {"newlines", "", "\n", "x"},
    {"full stops", "", ".", ""},
    {"Han", "", "\346\274\242", ""},
};

enum { N_RUNS = sizeof runs / sizeof runs[0] };

/* --- texts on a stack of their own --- */

struct job {
    const struct tokenizer *tokenizer;
    struct str texts[N_RUNS];
    size_t n_texts;
    int32_t *tokens;
    int32_t counts[N_RUNS];
};

static void *run_job(void *arg)
{
    struct job *j = arg;

    for (size_t i = 0; i < j->n_texts; i++)
        j->counts[i] = tokenizer_run(j->tokenizer, j->texts[i], j->tokens, MOST_TOKENS, NULL);
    return NULL;
}

static void run_on(size_t stack_bytes, struct job *j)
{
    struct deep_stack stack = {0};

    j->tokens = malloc(MOST_TOKENS * sizeof *j->tokens);
    assert_non_null(j->tokens);
    assert_int_equal(deep_stack_start(&stack, stack_bytes, run_job, j), 0);
    deep_stack_join(&stack);
    free(j->tokens);
}

static int32_t run_one(const struct tokenizer *t, struct str text)
{
    struct job j = {.tokenizer = t, .texts = {text}, .n_texts = 1};

    run_on(TEXT_STACK_BYTES, &j);
    return j.counts[0];
}

static struct str run_text(struct buf *b, size_t run, size_t n)
{
    buf_free(b);
    buf_init(b, TEXT_BYTES);
    assert_int_equal(buf_append_str(b, str_from(runs[run].head)), 0);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(buf_append_str(b, str_from(runs[run].unit)), 0);
    assert_int_equal(buf_append_str(b, str_from(runs[run].tail)), 0);
    return buf_view(b);
}

/* E1: 26,500 letters ended the process on the 8 MiB of an ordinary thread. */
static void letters_that_ended_the_process_are_tokenised(void **state)
{
    struct fake_family v;
    struct buf text = {0};

    (void)state;
    fake_family_open(&v, FAKE_BPE, "gpt-4o");
    assert_int_equal(run_one(&v.tokenizer, run_text(&text, 0, 26500)), 26500 / 8 + 1);
    buf_free(&text);
    fake_family_close(&v);
}

static bool may_be_refused(const struct family *f, const char *run)
{
    return (strcmp(f->name, "deepseek-llm") == 0 && strcmp(run, "spaces before a digit") == 0) ||
           (strcmp(f->name, "deepseek-llm") == 0 && strcmp(run, "spaces before a word") == 0) ||
           (strcmp(f->name, "deepseek-llm") == 0 && strcmp(run, "newlines") == 0) ||
           (strcmp(f->name, "superbpe") == 0 && strcmp(run, "digits") == 0);
}

/* A job of one run of each kind. */
static void fill_job(struct job *j, struct buf texts[static N_RUNS], size_t n)
{
    for (size_t r = 0; r < N_RUNS; r++)
        j->texts[r] = run_text(&texts[r], r, n);
    j->n_texts = N_RUNS;
}

static void free_texts(struct buf texts[static N_RUNS])
{
    for (size_t r = 0; r < N_RUNS; r++)
        buf_free(&texts[r]);
}

static void runs_of_30000_are_taken_or_refused_by_every_family(void **state)
{
    struct buf texts[N_RUNS] = {0};
    struct job j = {0};

    (void)state;
    fill_job(&j, texts, RUN_CHARS);
    for (size_t f = 0; f < N_FAMILIES; f++) {
        struct fake_family v;

        fake_family_open(&v, families[f].family, families[f].pre);
        j.tokenizer = &v.tokenizer;
        run_on(v.tokenizer.runs.bounded ? RUN_STACK_BYTES : SMALL_STACK_BYTES, &j);
        for (size_t r = 0; r < N_RUNS; r++) {
            bool refused = may_be_refused(&families[f], runs[r].name);

            if (refused ? j.counts[r] != ERR_RANGE : j.counts[r] < 0)
                fail_msg("%s, %s: %d", families[f].name, runs[r].name, j.counts[r]);
        }
        fake_family_close(&v);
    }
    free_texts(texts);
}

/* A match is as long as two runs: full stops and the line ends behind them. */
static void the_longest_match_fits_the_stack(void **state)
{
    struct buf text = {0};
    struct fake_family v;
    static const size_t most = TEXT_RUN_MAX_CHARS;

    (void)state;
    for (size_t f = 0; f < N_FAMILIES; f++) {
        fake_family_open(&v, families[f].family, families[f].pre);
        if (!v.tokenizer.runs.bounded) {
            fake_family_close(&v);
            continue;
        }
        run_text(&text, 8, most);
        for (size_t i = 0; i < most && !v.tokenizer.runs.square_spaces; i++)
            assert_int_equal(buf_append(&text, "\n", 1), 0);
        assert_true(run_one(&v.tokenizer, buf_view(&text)) >= 0);
        assert_int_equal(run_one(&v.tokenizer, run_text(&text, 0, most + 1)), ERR_RANGE);
        fake_family_close(&v);
    }
    buf_free(&text);
}

static const char *const unbounded[] = {"a.x-4.0",
                                        "chatglm-bpe",
                                        "codeshell",
                                        "command-r",
                                        "dbrx",
                                        "deepseek-r1-qwen",
                                        "exaone",
                                        "exaone4",
                                        "f2llmv2",
                                        "falcon-h1",
                                        "falcon3",
                                        "gemma4",
                                        "gigachat",
                                        "glm4",
                                        "gpt-2",
                                        "granite-docling",
                                        "granite-embed-multi-311m",
                                        "grok-2",
                                        "hunyuan",
                                        "jais",
                                        "jina-de",
                                        "jina-es",
                                        "jina-v1-en",
                                        "jina-v2-code",
                                        "jina-v2-de",
                                        "jina-v2-es",
                                        "jina-v5-nano",
                                        "kimi-k2",
                                        "kormo",
                                        "laguna",
                                        "lfm2",
                                        "llama-bpe",
                                        "llama-v3",
                                        "llama3",
                                        "megrez",
                                        "mellum",
                                        "mellum2",
                                        "midm-2.0",
                                        "minerva-7b",
                                        "modern-bert",
                                        "mpt",
                                        "olmo",
                                        "phi-2",
                                        "pixtral",
                                        "qwen2",
                                        "qwen35",
                                        "refact",
                                        "roberta-bpe",
                                        "sarvam-moe",
                                        "smaug-bpe",
                                        "smollm",
                                        "solar-open",
                                        "stablelm2",
                                        "starcoder",
                                        "trillion"};

/* What has no bound must need no stack: on a small one it would end here. */
static void a_tokenizer_without_a_bound_needs_no_stack(void **state)
{
    struct buf texts[N_RUNS] = {0};
    struct job j = {0};

    (void)state;
    fill_job(&j, texts, 2000);
    for (size_t p = 0; p < sizeof unbounded / sizeof unbounded[0]; p++) {
        struct fake_family v;

        fake_family_open(&v, FAKE_BPE, unbounded[p]);
        assert_false(v.tokenizer.runs.bounded);
        j.tokenizer = &v.tokenizer;
        run_on(SMALL_STACK_BYTES, &j);
        for (size_t r = 0; r < N_RUNS; r++)
            assert_true(j.counts[r] >= 0);
        fake_family_close(&v);
    }
    free_texts(texts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(letters_that_ended_the_process_are_tokenised),
        cmocka_unit_test(runs_of_30000_are_taken_or_refused_by_every_family),
        cmocka_unit_test(the_longest_match_fits_the_stack),
        cmocka_unit_test(a_tokenizer_without_a_bound_needs_no_stack),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
