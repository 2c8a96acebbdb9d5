/* SPDX-License-Identifier: Apache-2.0 */
/* The keys of a GGUF file and their values. */
#include <string.h>

#include "provider/engine/gguf_check_impl.h"
#include "provider/engine/gguf_types.h"

/* --- strings --- */

/* A string of at most `max` bytes, in the region. */
static int gguf_take_string(struct gguf_checker *c, uint64_t max, struct str *ret_text)
{
    uint64_t n = 0;
    char *p;
    int rc = gguf_read_u64(&c->r, &n);

    if (rc < 0)
        return rc;
    if (n > max)
        return gguf_reader_fail(&c->r, ERR_CONFIG,
                                "has %llu bytes, more than %llu: no model has such a one; fetch "
                                "the file again",
                                (unsigned long long)n, (unsigned long long)max);
    p = arena_alloc(&c->region, (size_t)n + 1);
    if (!p)
        return gguf_reader_fail(&c->r, ERR_NOMEM, "takes more memory than there is");
    rc = gguf_read_bytes(&c->r, p, (size_t)n);
    if (rc == 0)
        *ret_text = (struct str){p, (size_t)n};
    return rc;
}

/* Names are compared as C strings by the library: none may be empty, or end early at a NUL. */
int gguf_take_name(struct gguf_checker *c, struct map *seen, const char *kind, uint64_t max,
                   struct str *ret_name)
{
    struct str name = {0};
    int rc = gguf_take_string(c, max, &name);

    if (rc < 0)
        return rc;
    gguf_reader_field(&c->r, kind, name);
    if (name.n == 0 || memchr(name.p, 0, name.n))
        return gguf_reader_fail(&c->r, ERR_CONFIG,
                                "is empty or has a NUL in its name; convert the model again");
    if (map_get(seen, name))
        return gguf_reader_fail(&c->r, ERR_CONFIG, "stands twice; convert the model again");
    if (map_put(seen, name, c) < 0)
        return gguf_reader_fail(&c->r, ERR_NOMEM, "takes more memory than there is");
    *ret_name = name;
    return 0;
}

/* --- what the library wants of keys that it cannot do without --- */

static int gguf_take_alignment(struct gguf_checker *c)
{
    uint32_t n = 0;
    int rc = gguf_read_u32(&c->r, &n);

    if (rc < 0)
        return rc;
    if (n < GGUF_MIN_ALIGNMENT || n > GGUF_MAX_ALIGNMENT || (n & (n - 1)) != 0)
        return gguf_reader_fail(&c->r, ERR_CONFIG,
                                "is %u, but must be a power of two from %d to %d; convert the "
                                "model with another alignment",
                                n, GGUF_MIN_ALIGNMENT, GGUF_MAX_ALIGNMENT);
    c->alignment = n;
    return 0;
}

static int gguf_take_word(struct gguf_checker *c, char ret_word[static GGUF_MAX_WORD_BYTES + 1])
{
    struct str name = {0};
    int rc = gguf_take_string(c, GGUF_MAX_WORD_BYTES, &name);

    if (rc < 0)
        return rc;
    for (size_t i = 0; i < name.n; i++) {
        if (name.p[i] < '!' || name.p[i] > '~')
            return gguf_reader_fail(&c->r, ERR_CONFIG,
                                    "has a byte that no name has; convert the model again");
    }
    if (name.n > 0)
        memcpy(ret_word, name.p, name.n);
    ret_word[name.n] = 0;
    return 0;
}

static int gguf_take_architecture(struct gguf_checker *c)
{
    return gguf_take_word(c, c->facts.architecture);
}

static int gguf_take_tokenizer(struct gguf_checker *c)
{
    return gguf_take_word(c, c->facts.tokenizer);
}

static int gguf_take_pre(struct gguf_checker *c)
{
    return gguf_take_word(c, c->facts.pre);
}

static int gguf_take_file_type(struct gguf_checker *c)
{
    uint32_t n = 0;
    int rc = gguf_read_u32(&c->r, &n);

    if (rc == 0)
        c->facts.file_type = n;
    return rc;
}

static int gguf_take_u16(struct gguf_checker *c, uint32_t *ret_value)
{
    uint8_t b[2] = {0};
    int rc = gguf_read_bytes(&c->r, b, sizeof b);

    if (rc == 0)
        *ret_value = (uint32_t)b[0] | (uint32_t)b[1] << 8;
    return rc;
}

static int gguf_take_split_no(struct gguf_checker *c)
{
    c->has_split_no = true;
    return gguf_take_u16(c, &c->facts.split_no);
}

static int gguf_take_split_count(struct gguf_checker *c)
{
    c->has_split_count = true;
    return gguf_take_u16(c, &c->facts.split_count);
}

static int gguf_take_split_tensors(struct gguf_checker *c)
{
    uint32_t n = 0;
    int rc = gguf_read_u32(&c->r, &n);

    if (rc < 0)
        return rc;
    if (n > INT32_MAX)
        return gguf_reader_fail(&c->r, ERR_CONFIG, "is negative; split the model again");
    c->has_split_tensors = true;
    c->facts.split_tensors = n;
    return 0;
}

/* An empty token gets this text from the library. */
static int gguf_name_empty_token(struct gguf_checker *c, uint64_t i, struct str *token)
{
    if (token->n > 0)
        return 0;
    *token = arena_printf(&c->region, "[EMPTY_%llu]", (unsigned long long)i);
    return token->p ? 0 : gguf_reader_fail(&c->r, ERR_NOMEM, "takes more memory than there is");
}

static int gguf_take_tokens(struct gguf_checker *c, uint64_t n)
{
    if (n == 0 || n > GGUF_MAX_VOCABULARY)
        return gguf_reader_fail(&c->r, ERR_CONFIG, "has %llu tokens; a vocabulary has from 1 to %d",
                                (unsigned long long)n, GGUF_MAX_VOCABULARY);
    c->n_vocabulary = n;
    for (uint64_t i = 0; i < n; i++) {
        struct str token = {0};
        int rc = gguf_take_string(c, GGUF_MAX_TOKEN_BYTES, &token);

        if (rc == 0)
            rc = gguf_name_empty_token(c, i, &token);
        if (rc < 0)
            return rc;
        if (map_get(&c->tokens, token))
            return gguf_reader_fail(&c->r, ERR_CONFIG,
                                    "has token %llu twice, which ends the library; convert the "
                                    "model again",
                                    (unsigned long long)i);
        if (map_put(&c->tokens, token, c) < 0)
            return gguf_reader_fail(&c->r, ERR_NOMEM, "takes more memory than there is");
    }
    return 0;
}

static int gguf_skip_elements(struct gguf_checker *c, uint32_t type, uint64_t n);

static int gguf_take_scores(struct gguf_checker *c, uint64_t n)
{
    c->has_scores = true;
    c->n_scores = n;
    return gguf_skip_elements(c, GGUF_F32, n);
}

static int gguf_take_token_types(struct gguf_checker *c, uint64_t n)
{
    c->has_token_types = true;
    c->n_token_types = n;
    return gguf_skip_elements(c, GGUF_I32, n);
}

static const struct {
    const char *key;
    uint32_t type, element, or_element; /* of arrays; 0: no other */
    int (*take)(struct gguf_checker *c);
    int (*take_array)(struct gguf_checker *c, uint64_t n);
} known_keys[] = {
    {"general.alignment", GGUF_U32, 0, 0, gguf_take_alignment, NULL},
    {"general.architecture", GGUF_STRING, 0, 0, gguf_take_architecture, NULL},
    {"general.file_type", GGUF_U32, 0, 0, gguf_take_file_type, NULL},
    {"tokenizer.ggml.model", GGUF_STRING, 0, 0, gguf_take_tokenizer, NULL},
    {"tokenizer.ggml.pre", GGUF_STRING, 0, 0, gguf_take_pre, NULL},
    {"split.no", GGUF_U16, 0, 0, gguf_take_split_no, NULL},
    {"split.count", GGUF_U16, 0, 0, gguf_take_split_count, NULL},
    {"split.tensors.count", GGUF_I32, 0, 0, gguf_take_split_tensors, NULL},
    {"tokenizer.ggml.tokens", GGUF_ARRAY, GGUF_STRING, 0, NULL, gguf_take_tokens},
    {"tokenizer.ggml.scores", GGUF_ARRAY, GGUF_F32, GGUF_I32, NULL, gguf_take_scores},
    {"tokenizer.ggml.token_type", GGUF_ARRAY, GGUF_I32, 0, NULL, gguf_take_token_types},
};

enum { N_KNOWN_KEYS = sizeof known_keys / sizeof known_keys[0] };

static size_t gguf_known_key(struct str name)
{
    size_t i = 0;

    while (i < N_KNOWN_KEYS && !str_is(name, known_keys[i].key))
        i++;
    return i;
}

/* --- keys and values --- */

static int gguf_skip_string(struct gguf_checker *c)
{
    uint64_t n = 0;
    int rc = gguf_read_u64(&c->r, &n);

    if (rc < 0)
        return rc;
    if (n > GGUF_MAX_STRING_BYTES)
        return gguf_reader_fail(&c->r, ERR_CONFIG,
                                "has a string of %llu bytes; the limit is %d; convert the model "
                                "without it",
                                (unsigned long long)n, GGUF_MAX_STRING_BYTES);
    return gguf_read_skip(&c->r, n);
}

static int gguf_skip_bools(struct gguf_checker *c, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        uint8_t b = 0;
        int rc = gguf_read_bytes(&c->r, &b, 1);

        if (rc < 0)
            return rc;
        if (b > 1)
            return gguf_reader_fail(&c->r, ERR_CONFIG,
                                    "is a bool of value %u; convert the model again", b);
    }
    return 0;
}

static int gguf_skip_elements(struct gguf_checker *c, uint32_t type, uint64_t n)
{
    int rc = 0;

    if (type == GGUF_BOOL)
        return gguf_skip_bools(c, n);
    if (type != GGUF_STRING) /* n was bounded: no overflow */
        return gguf_read_skip(&c->r, n * gguf_value_bytes(type));
    for (uint64_t i = 0; rc == 0 && i < n; i++)
        rc = gguf_skip_string(c);
    return rc;
}

static int gguf_check_array(struct gguf_checker *c, size_t known)
{
    uint32_t type = 0;
    uint64_t n = 0;
    int rc = gguf_read_u32(&c->r, &type);

    if (rc == 0)
        rc = gguf_read_u64(&c->r, &n);
    if (rc < 0)
        return rc;
    if (!gguf_value_name(type) || type == GGUF_ARRAY)
        return gguf_reader_fail(&c->r, ERR_CONFIG,
                                "is an array of type %u, which holds neither numbers nor "
                                "strings; convert the model again",
                                type);
    if (n > GGUF_MAX_ARRAY_ELEMENTS)
        return gguf_reader_fail(&c->r, ERR_CONFIG,
                                "has %llu elements; the limit is %d; convert the model again",
                                (unsigned long long)n, GGUF_MAX_ARRAY_ELEMENTS);
    if (known == N_KNOWN_KEYS)
        return gguf_skip_elements(c, type, n);
    if (type != known_keys[known].element &&
        (known_keys[known].or_element == 0 || type != known_keys[known].or_element))
        return gguf_reader_fail(&c->r, ERR_CONFIG,
                                "is an array of %s, not of %s; convert the model again",
                                gguf_value_name(type), gguf_value_name(known_keys[known].element));
    return known_keys[known].take_array(c, n);
}

int gguf_check_key(struct gguf_checker *c)
{
    struct str name = {0};
    uint32_t type = 0;
    size_t known;
    int rc = gguf_take_name(c, &c->keys, "", GGUF_MAX_KEY_BYTES, &name);

    if (rc == 0)
        rc = gguf_read_u32(&c->r, &type);
    if (rc < 0)
        return rc;
    if (!gguf_value_name(type))
        return gguf_reader_fail(&c->r, ERR_CONFIG,
                                "has a value of type %u, which GGUF does not have; fetch the file "
                                "again",
                                type);
    known = gguf_known_key(name);
    if (known < N_KNOWN_KEYS && type != known_keys[known].type)
        return gguf_reader_fail(&c->r, ERR_CONFIG, "is of type %s, not %s; convert the model again",
                                gguf_value_name(type), gguf_value_name(known_keys[known].type));
    if (type == GGUF_ARRAY)
        return gguf_check_array(c, known);
    return known < N_KNOWN_KEYS ? known_keys[known].take(c) : gguf_skip_elements(c, type, 1);
}

/* --- what must fit together --- */

int gguf_check_vocabulary(struct gguf_checker *c)
{
    gguf_reader_field(&c->r, "", STR("tokenizer.ggml.tokens"));
    if ((c->has_scores && c->n_scores < c->n_vocabulary) ||
        (c->has_token_types && c->n_token_types < c->n_vocabulary))
        return gguf_reader_fail(&c->r, ERR_CONFIG,
                                "has %llu tokens, but fewer scores or token types; convert the "
                                "model again",
                                (unsigned long long)c->n_vocabulary);
    gguf_reader_field(&c->r, "", STR("tokenizer.ggml.pre"));
    if (strcmp(c->facts.pre, "whitespace") == 0 && strcmp(c->facts.tokenizer, "whitespace") != 0)
        return gguf_reader_fail(&c->r, ERR_CONFIG,
                                "is whitespace beside tokenizer.ggml.model \"%.20s\", with which "
                                "spaces end the library; convert the model again",
                                c->facts.tokenizer);
    return 0;
}

int gguf_check_split(struct gguf_checker *c)
{
    const struct gguf_facts *f = &c->facts;

    gguf_reader_field(&c->r, "", STR("split.count"));
    if (!c->has_split_count && !c->has_split_no && !c->has_split_tensors)
        return 0;
    if (!c->has_split_count || !c->has_split_no || !c->has_split_tensors)
        return gguf_reader_fail(&c->r, ERR_CONFIG,
                                "does not stand with split.no and split.tensors.count; split the "
                                "model again");
    if (f->split_count < 1 || f->split_count > GGUF_MAX_SHARDS || f->split_no >= f->split_count)
        return gguf_reader_fail(&c->r, ERR_CONFIG,
                                "is %u beside split.no %u; there are from 1 to %d shards, numbered "
                                "from 0; split the model again",
                                f->split_count, f->split_no, GGUF_MAX_SHARDS);
    if (f->split_tensors < f->n_tensors)
        return gguf_reader_fail(&c->r, ERR_CONFIG,
                                "stands with split.tensors.count %llu, but this shard has %llu; "
                                "split the model again",
                                (unsigned long long)f->split_tensors,
                                (unsigned long long)f->n_tensors);
    return 0;
}
