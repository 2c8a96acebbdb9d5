/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/provider/fake_vocab.h"

#include <ggml-backend.h>
#include <gguf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { BYTES = 256, NORMAL = 1, CONTROL = 3, USER_DEFINED = 4 };

/* As models mark them: what begins and ends turns is control, what an answer is marked up with may
 * be either. */
static const struct {
    const char *text;
    int32_t type;
} specials[] = {
    {"<|endoftext|>", CONTROL},     {"<|im_start|>", CONTROL},  {"<|im_end|>", CONTROL},
    {"<think>", USER_DEFINED},      {"</think>", USER_DEFINED}, {"<tool_call>", CONTROL},
    {"</tool_call>", USER_DEFINED}, {"[TOOL_CALLS]", CONTROL},
};

enum { N_SPECIALS = sizeof specials / sizeof specials[0], N_TOKENS = BYTES + N_SPECIALS };

/* GPT-2 writes bytes as characters: the printable ones as themselves, the others from U+0100 on. */
static void byte_character(int byte, char ret_text[4])
{
    int shown = byte, hidden = 0;

    for (int b = 0; b < byte; b++)
        hidden += b < 33 || (b > 126 && b < 161) || b == 173;
    if (byte < 33 || (byte > 126 && byte < 161) || byte == 173)
        shown = 256 + hidden;
    memset(ret_text, 0, 4);
    if (shown < 0x80) {
        ret_text[0] = (char)shown;
    } else {
        ret_text[0] = (char)(0xC0 | shown >> 6);
        ret_text[1] = (char)(0x80 | (shown & 0x3F));
    }
}

static void set_tokens(struct gguf_context *g)
{
    static char bytes[BYTES][4];
    const char *texts[N_TOKENS];
    int32_t types[N_TOKENS];
    const char *merges[] = {"a b"};

    for (int i = 0; i < N_TOKENS; i++) {
        if (i < BYTES)
            byte_character(i, bytes[i]);
        texts[i] = i < BYTES ? bytes[i] : specials[i - BYTES].text;
        types[i] = i < BYTES ? NORMAL : specials[i - BYTES].type;
    }
    gguf_set_arr_str(g, "tokenizer.ggml.tokens", texts, N_TOKENS);
    gguf_set_arr_data(g, "tokenizer.ggml.token_type", GGUF_TYPE_INT32, types, N_TOKENS);
    gguf_set_arr_str(g, "tokenizer.ggml.merges", merges, 1);
}

static void write_file(const char *path, const char *chat_template)
{
    struct gguf_context *g = gguf_init_empty();

    gguf_set_val_str(g, "general.architecture", "llama");
    gguf_set_val_str(g, "tokenizer.ggml.model", "gpt2");
    gguf_set_val_str(g, "tokenizer.ggml.pre", "gpt-2");
    set_tokens(g);
    gguf_set_val_u32(g, "tokenizer.ggml.bos_token_id", BYTES);
    gguf_set_val_u32(g, "tokenizer.ggml.eos_token_id", BYTES + 2);
    gguf_set_val_bool(g, "tokenizer.ggml.add_bos_token", false);
    gguf_set_val_str(g, "tokenizer.chat_template", chat_template);
    assert_true(gguf_write_to_file(g, path, true));
    gguf_free(g);
}

static void say_errors(enum ggml_log_level level, const char *text, void *ud)
{
    (void)ud;
    if (level == GGML_LOG_LEVEL_ERROR)
        fputs(text, stderr);
}

struct llama_model *fake_vocab_open(const char *chat_template)
{
    char path[] = "/tmp/darkbloom-vocab-XXXXXX";
    struct llama_model_params params = llama_model_default_params();
    struct llama_model *model;
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    close(fd);
    llama_log_set(say_errors, NULL);
    write_file(path, chat_template);
    params.vocab_only = true;
    model = llama_model_load_from_file(path, params);
    unlink(path);
    assert_non_null(model);
    return model;
}

int32_t fake_vocab_token(const struct llama_model *model, const char *text)
{
    int32_t tokens[2];

    assert_int_equal(llama_tokenize(llama_model_get_vocab(model), text, (int32_t)strlen(text),
                                    tokens, 2, false, true),
                     1);
    return tokens[0];
}
