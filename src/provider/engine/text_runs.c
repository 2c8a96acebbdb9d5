/* SPDX-License-Identifier: Apache-2.0 */
#include "provider/engine/text_runs.h"

/* Pre-tokenizers that the pinned library splits by code of its own, without std::regex. */
static const char *const no_stack[] = {
    "a.x-4.0",
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
    "trillion",
};

/* Those whose expressions do more than others. */
static const struct {
    const char *pre;
    struct text_runs rule;
} peculiar[] = {
    {"deepseek-llm", {.bounded = true, .square_spaces = true}}, /* white space up to an end */
    {"superbpe", {.bounded = true, .square_digits = true}}, /* thousands, seen from each digit */
    {"exaone-moe", {.bounded = true, .space_joins = true}}, /* words with spaces in between */
};

struct text_runs text_runs_of(struct str pre)
{
    for (size_t i = 0; i < sizeof no_stack / sizeof no_stack[0]; i++) {
        if (str_is(pre, no_stack[i]))
            return (struct text_runs){0};
    }
    for (size_t i = 0; i < sizeof peculiar / sizeof peculiar[0]; i++) {
        if (str_is(pre, peculiar[i].pre))
            return peculiar[i].rule;
    }
    return (struct text_runs){.bounded = true};
}

enum text_class { CLASS_OTHER, CLASS_SPACE, CLASS_DIGIT, N_CLASSES };

/* A character of UTF-8 and its bytes; what is none counts for itself, as in the library. */
static size_t text_runs_char(const uint8_t *p, size_t n, uint32_t *ret_char)
{
    size_t bytes = p[0] < 0xC0 ? 1 : p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : 4;
    uint32_t c = bytes == 1 ? p[0] : p[0] & (0x7FU >> bytes);

    for (size_t i = 1; i < bytes; i++) {
        if (i >= n || (p[i] & 0xC0) != 0x80) {
            *ret_char = 0xFFFD;
            return 1;
        }
        c = c << 6 | (p[i] & 0x3F);
    }
    *ret_char = c;
    return bytes;
}

/* White_Space of Unicode. */
static bool text_runs_is_space(uint32_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r') || c == 0x85 || c == 0xA0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
           c == 0x205F || c == 0x3000;
}

static enum text_class text_runs_class(const struct text_runs *rule, uint32_t c)
{
    if (rule->space_joins && c == ' ')
        return CLASS_OTHER;
    if (text_runs_is_space(c))
        return CLASS_SPACE;
    return rule->square_digits && c >= '0' && c <= '9' ? CLASS_DIGIT : CLASS_OTHER;
}

struct text_runs_count {
    enum text_class class;
    uint64_t chars, run, squares;
};

/* Where a run ends: too long, or too much for the time of all. */
static bool text_runs_end(const struct text_runs *rule, struct text_runs_count *t)
{
    bool squared = (t->class == CLASS_SPACE && rule->square_spaces) || t->class == CLASS_DIGIT;

    t->squares += squared ? t->run * t->run : 0;
    return t->run <= TEXT_RUN_MAX_CHARS &&
           t->squares <= TEXT_RUN_MAX_SQUARES + t->chars * TEXT_RUN_SQUARES_PER_CHAR;
}

int text_runs_check(const struct text_runs *rule, struct str text)
{
    struct text_runs_count t = {0};

    if (!rule->bounded)
        return 0;
    for (size_t i = 0; i < text.n;) {
        enum text_class class;
        uint32_t c;

        i += text_runs_char((const uint8_t *)text.p + i, text.n - i, &c);
        class = text_runs_class(rule, c);
        if (class != t.class) {
            if (!text_runs_end(rule, &t))
                return ERR_RANGE;
            t.run = 0;
            t.class = class;
        }
        t.run++;
        t.chars++;
    }
    return text_runs_end(rule, &t) ? 0 : ERR_RANGE;
}
