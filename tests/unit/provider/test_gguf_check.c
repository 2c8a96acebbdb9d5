/* SPDX-License-Identifier: Apache-2.0 */
/* What is no model for the pinned library is refused before the library sees it, in words. Each
 * file is made here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <ggml.h>
#include <llama.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "fake_gguf.h"
#include "provider/engine/gguf_check.h"

enum { MOST_KEYS = 3, MOST_TENSORS = 3 };

struct crafted_key {
    struct str name;
    uint32_t type;
    struct str value;
};

/* Zero stands for what the good file has. */
struct crafted {
    const char *what, *says;
    const char *magic;
    uint32_t version;
    uint64_t said_keys, said_tensors;
    struct crafted_key keys[MOST_KEYS]; /* beside those of the good file */
    struct fake_gguf_tensor tensors[MOST_TENSORS];
    size_t cut; /* bytes off its end */
};

static const struct fake_gguf_tensor good_tensors[] = {
    {.name = "token_embd.weight", .n_dims = 2, .dims = {64, 3}, .type = 8},
    {.name = "output_norm.weight", .n_dims = 1, .dims = {5}},
};

static const struct str tokens[] = {{"a", 1}, {"", 0}, {"b", 1}};

static void make_good_keys(struct fake_gguf *g)
{
    const float scores[] = {0, 1, 2};
    const int32_t types[] = {1, 1, 3};

    fake_gguf_key_text(g, "general.architecture", STR("llama"));
    fake_gguf_key_u32(g, "general.file_type", 15);
    fake_gguf_key_texts(g, "tokenizer.ggml.tokens", tokens, 3);
    fake_gguf_key_f32s(g, "tokenizer.ggml.scores", scores, 3);
    fake_gguf_key_i32s(g, "tokenizer.ggml.token_type", types, 3);
    fake_gguf_key(g, STR("tokenizer.ggml.add_bos_token"), GGUF_BOOL, RAW("\1"));
}

static void make(struct fake_gguf *g, const struct crafted *row)
{
    fake_gguf_init(g);
    make_good_keys(g);
    for (size_t i = 0; i < MOST_KEYS && row->keys[i].name.p; i++)
        fake_gguf_key(g, row->keys[i].name, row->keys[i].type, row->keys[i].value);
    for (size_t i = 0; i < MOST_TENSORS && row->tensors[i].name; i++)
        fake_gguf_tensor(g, &row->tensors[i]);
    for (size_t i = 0; i < 2 && !row->tensors[0].name; i++)
        fake_gguf_tensor(g, &good_tensors[i]);
    g->magic = row->magic ? row->magic : g->magic;
    g->version = row->version ? row->version : g->version;
    g->says_keys = row->said_keys != 0;
    g->said_keys = row->said_keys;
    g->says_tensors = row->said_tensors != 0;
    g->said_tensors = row->said_tensors;
}

static int read_bytes(void *ud, uint64_t at, void *to, size_t n)
{
    const struct str *file = ud;

    assert_true(at <= file->n && n <= file->n - at); /* never beyond what there is */
    memcpy(to, file->p + at, n);
    return 0;
}

static int check(struct str file, struct gguf_facts *facts, struct err *e)
{
    const struct gguf_source source = {"model.gguf", file.n, read_bytes, &file};

    *e = (struct err){0};
    return gguf_check(&source, facts, e);
}

#define KEY(n, t, v)                                 \
    {                                                \
        .name = RAW(n), .type = (t), .value = RAW(v) \
    }
#define ONE  "\1\0\0\0\0\0\0\0"
#define TWO  "\2\0\0\0\0\0\0\0"
#define HUGE "\377\377\377\377\377\377\377\377"
#define TENSOR(...)                               \
    {                                             \
        {                                         \
            .name = "a", .n_dims = 1, __VA_ARGS__ \
        }                                         \
    }
#define SPLIT(no, count, tensors)                                           \
    {                                                                       \
        KEY("split.no", GGUF_U16, no), KEY("split.count", GGUF_U16, count), \
            KEY("split.tensors.count", GGUF_I32, tensors)                   \
    }

static const struct crafted crafted[] = {
    {"another magic", "magic is not GGUF", .magic = "GGML"},
    {"the first version", "version is 1", .version = 1},
    {"a later version", "version is 4", .version = 4},
    {"big endian", "version is 50331648", .version = 3U << 24},
    {"more tensors than any", "number of tensors is 4294967295", .said_tensors = UINT32_MAX},
    {"a negative number of tensors", "number of tensors is 18446744073709551615",
     .said_tensors = UINT64_MAX},
    {"a negative number of keys", "number of keys is 18446744073709551615",
     .said_keys = UINT64_MAX},
    {"a key too many is said", "a tensor's name has", .said_keys = 7},
    {"a tensor too many is said", "cut off", .said_tensors = 3, .cut = 320},
    {"a key without a name", "is empty", .keys = {KEY("", GGUF_U8, "\0")}},
    {"a key with a NUL", "NUL", .keys = {KEY("general\0x", GGUF_U8, "\0")}},
    {"a key of no characters", "general.??x", .keys = {KEY("general.\n\377x", 77, "")}},
    {"a key twice", "general.name stands twice",
     .keys = {KEY("general.name", GGUF_U8, "\0"), KEY("general.name", GGUF_U8, "\1")}},
    {"a type of no value", "general.x has a value of type 13", .keys = {KEY("general.x", 13, "")}},
    {"a string longer than any", "general.x has a string of 18446744073709551615 bytes",
     .keys = {KEY("general.x", GGUF_STRING, HUGE)}},
    {"a string longer than the file", "general.x ends beyond",
     .keys = {KEY("general.x", GGUF_STRING, "\0\0\0\1\0\0\0\0")}},
    {"a bool of two", "general.x is a bool of value 2",
     .keys = {KEY("general.x", GGUF_BOOL, "\2")}},
    {"an array of arrays", "general.x is an array of type 9",
     .keys = {KEY("general.x", GGUF_ARRAY, "\11\0\0\0" ONE "\0\0\0\0" ONE)}},
    {"an array of nothing known", "general.x is an array of type 99",
     .keys = {KEY("general.x", GGUF_ARRAY, "\143\0\0\0" ONE)}},
    {"an array with more than any", "general.x has 18446744073709551615 elements",
     .keys = {KEY("general.x", GGUF_ARRAY, "\0\0\0\0" HUGE)}},
    {"an array longer than the file", "general.x ends beyond",
     .keys = {KEY("general.x", GGUF_ARRAY, "\12\0\0\0\0\0\1\0\0\0\0\0")}},
    {"an array of strings that ends in one", "general.x ends beyond",
     .keys = {KEY("general.x", GGUF_ARRAY, "\10\0\0\0" TWO ONE "x\0\0\0\1\0\0\0\0")}},
    {"an alignment of 0", "general.alignment is 0",
     .keys = {KEY("general.alignment", GGUF_U32, "\0\0\0\0")}},
    {"an alignment of 48", "general.alignment is 48, but must be a power of two",
     .keys = {KEY("general.alignment", GGUF_U32, "0\0\0\0")}},
    {"an alignment that ends the library", "general.alignment is 16",
     .keys = {KEY("general.alignment", GGUF_U32, "\20\0\0\0")}},
    {"an alignment of 2^31", "general.alignment is 2147483648",
     .keys = {KEY("general.alignment", GGUF_U32, "\0\0\0\200")}},
    {"an alignment that is no u32", "general.alignment is of type u64, not u32",
     .keys = {KEY("general.alignment", GGUF_U64, "\40\0\0\0\0\0\0\0")}},
    {"a tokenizer that spaces would end", "tokenizer.ggml.pre is whitespace beside",
     .keys = {KEY("tokenizer.ggml.pre", GGUF_STRING, "\12\0\0\0\0\0\0\0whitespace")}},
    {"a number of shards that is no u16", "split.count is of type u32, not u16",
     .keys = {KEY("split.count", GGUF_U32, "\1\0\0\0")}},
    {"a shard without the others' number", "split.count does not stand with split.no",
     .keys = {KEY("split.count", GGUF_U16, "\1\0")}},
    {"no shards", "split.count is 0 beside split.no 0", .keys = SPLIT("\0\0", "\0\0", "\2\0\0\0")},
    {"a shard beyond the last", "split.count is 2 beside split.no 2",
     .keys = SPLIT("\2\0", "\2\0", "\2\0\0\0")},
    {"more shards than any", "split.count is 513", .keys = SPLIT("\0\0", "\1\2", "\2\0\0\0")},
    {"fewer tensors in all than here", "split.tensors.count 1, but this shard has 2",
     .keys = SPLIT("\0\0", "\2\0", "\1\0\0\0")},
    {"a negative number of tensors in all", "split.tensors.count is negative",
     .keys = SPLIT("\0\0", "\2\0", "\377\377\377\377")},
    {"a tensor without a name", "tensor  is empty",
     .tensors = {{.name = "", .n_dims = 1, .dims = {1}}}},
    {"a tensor's name of 64 bytes", "a tensor's name has 64 bytes, more than 63",
     .tensors = {{.name = "0123456789012345678901234567890123456789012345678901234567890123",
                  .n_dims = 1,
                  .dims = {1}}}},
    {"a tensor twice", "tensor a stands twice",
     .tensors = {{.name = "a", .n_dims = 1, .dims = {1}}, {.name = "a", .n_dims = 1, .dims = {1}}}},
    {"a tensor of no dimensions", "tensor a has 0 dimensions",
     .tensors = {{.name = "a", .n_dims = 0}}},
    {"a tensor of five dimensions", "tensor a has 5 dimensions",
     .tensors = {{.name = "a", .n_dims = 5, .dims = {1, 1, 1, 1, 1}}}},
    {"a tensor of no elements", "tensor a has no elements",
     .tensors = {{.name = "a", .n_dims = 2, .dims = {4, 0}}}},
    {"a tensor of 2^64 elements", "tensor a has no elements or more than 2^63",
     .tensors = {{.name = "a", .n_dims = 2, .dims = {1ULL << 32, 1ULL << 32}, .no_weights = true}}},
    {"a tensor of negative elements", "tensor a has no elements or more than 2^63",
     .tensors = TENSOR(.dims = {UINT64_MAX}, .no_weights = true)},
    {"a tensor of 2^65 bytes", "tensor a has more than 2^64 bytes",
     .tensors = TENSOR(.dims = {1ULL << 62}, .type = 28, .no_weights = true)},
    {"a tensor that ends beyond 2^64", "tensor a ends beyond 2^64",
     .tensors = TENSOR(.dims = {(1ULL << 62) - 1}, .no_weights = true)},
    {"a tensor of a type never heard of", "tensor a is of type 43",
     .tensors = TENSOR(.dims = {1}, .type = 43)},
    {"a tensor of a type that was dropped", "tensor a is of type 31",
     .tensors = TENSOR(.dims = {1}, .type = 31)},
    {"a row that is no whole block", "tensor a has rows of 33 elements, not whole blocks of 32",
     .tensors = TENSOR(.dims = {33}, .type = 8)},
    {"a tensor at an odd place", "tensor a is at offset 1, no multiple of the alignment 32",
     .tensors = TENSOR(.dims = {1}, .moved = 1)},
    {"a tensor over another", "tensor b is at offset 0, which overlaps another: 32 was due",
     .tensors = {{.name = "a", .n_dims = 1, .dims = {1}},
                 {.name = "b", .n_dims = 1, .dims = {1}, .moved = -32}}},
    {"a tensor behind a gap", "tensor b is at offset 64, which leaves a gap: 32 was due",
     .tensors = {{.name = "a", .n_dims = 1, .dims = {1}},
                 {.name = "b", .n_dims = 1, .dims = {1}, .moved = 32}}},
    {"weights that are not there", "the last tensor ends at byte",
     .tensors = TENSOR(.dims = {1 << 30}, .no_weights = true)},
    {"the last weight's byte is not there", "the last tensor ends at byte", .cut = 13},
};

enum { N_CRAFTED = sizeof crafted / sizeof crafted[0] };

static void each_crafted_file_is_refused_with_what_is_wrong_in_it(void **state)
{
    int wrong = 0;

    (void)state;
    for (size_t i = 0; i < N_CRAFTED; i++) {
        struct fake_gguf g;
        struct gguf_facts facts = {.version = 99};
        struct err e;
        struct str file;
        int rc;

        make(&g, &crafted[i]);
        file = fake_gguf_file(&g);
        file.n -= crafted[i].cut;
        rc = check(file, &facts, &e);
        if (rc != ERR_CONFIG || !strstr(e.text, crafted[i].says) || !strstr(e.text, "model.gguf"))
            wrong += printf("%s: %d, \"%s\" without \"%s\"\n", crafted[i].what, rc, e.text,
                            crafted[i].says);
        if (strlen(e.text) >= sizeof e.text - 1)
            wrong += printf("%s: the way out is cut off: %s\n", crafted[i].what, e.text);
        wrong += facts.version != 99;
        fake_gguf_free(&g);
    }
    assert_int_equal(wrong, 0);
}

static void what_the_good_file_says_is_told(void **state)
{
    struct fake_gguf g;
    struct gguf_facts facts;
    struct err e;

    (void)state;
    make(&g, &(struct crafted){.keys = SPLIT("\1\0", "\3\0", "\11\0\0\0")});
    if (check(fake_gguf_file(&g), &facts, &e) != 0)
        fail_msg("%s", e.text);
    assert_int_equal(facts.version, 3);
    assert_int_equal(facts.n_tensors, 2);
    assert_string_equal(facts.architecture, "llama");
    assert_int_equal(facts.file_type, 15);
    assert_int_equal(facts.split_no, 1);
    assert_int_equal(facts.split_count, 3);
    assert_int_equal(facts.split_tensors, 9);
    fake_gguf_free(&g);
}

static void a_file_that_names_neither_type_nor_shards_is_good(void **state)
{
    struct fake_gguf g;
    struct gguf_facts facts;
    struct err e;

    (void)state;
    fake_gguf_init(&g);
    g.version = 2;
    assert_int_equal(check(fake_gguf_file(&g), &facts, &e), 0);
    assert_int_equal(facts.file_type, -1);
    assert_int_equal(facts.split_count, 0);
    assert_string_equal(facts.architecture, "");
    fake_gguf_free(&g);
}

static void a_file_cut_anywhere_is_refused(void **state)
{
    struct fake_gguf g;
    struct gguf_facts facts;
    struct err e;
    struct str file;

    (void)state;
    make(&g, &(struct crafted){0});
    file = fake_gguf_file(&g);
    assert_int_equal(check(file, &facts, &e), 0);
    for (size_t n = 0; n + 12 < file.n; n++) { /* 12: the last one is filled up to 32 */
        assert_int_equal(check((struct str){file.p, n}, &facts, &e), ERR_CONFIG);
        assert_non_null(strstr(e.text, "cut off"));
    }
    fake_gguf_free(&g);
}

/* The library would end its process: it counts tokens and their texts, and expects as many. */
static void tokens_that_would_end_the_library_are_refused(void **state)
{
    static const struct {
        struct str tokens[3];
        int32_t n_types;
        const char *says;
    } rows[] = {
        {{{"a", 1}, {"b", 1}, {"a", 1}}, 3, "has token 2 twice"},
        {{{"[EMPTY_1]", 9}, {"", 0}, {"b", 1}}, 3, "has token 1 twice"},
        {{{"a", 1}, {"b", 1}, {"c", 1}}, 2, "has 3 tokens, but fewer scores or token types"},
    };
    const int32_t types[] = {1, 1, 1};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fake_gguf g;
        struct gguf_facts facts;
        struct err e;

        fake_gguf_init(&g);
        fake_gguf_key_texts(&g, "tokenizer.ggml.tokens", rows[i].tokens, 3);
        fake_gguf_key_i32s(&g, "tokenizer.ggml.token_type", types, (size_t)rows[i].n_types);
        assert_int_equal(check(fake_gguf_file(&g), &facts, &e), ERR_CONFIG);
        if (!strstr(e.text, rows[i].says))
            fail_msg("\"%s\" without \"%s\"", e.text, rows[i].says);
        fake_gguf_free(&g);
    }
}

static int read_nothing(void *ud, uint64_t at, void *to, size_t n)
{
    (void)ud, (void)at, (void)to, (void)n;
    return ERR_IO;
}

static void a_disk_that_fails_is_told(void **state)
{
    const struct gguf_source source = {"model.gguf", 1 << 20, read_nothing, NULL};
    struct gguf_facts facts;
    struct err e = {0};

    (void)state;
    assert_int_equal(gguf_check(&source, &facts, &e), ERR_IO);
    assert_string_equal(e.text, "model.gguf: magic cannot be read from the disk");
}

static void what_is_no_file_is_refused(void **state)
{
    int ends[2];
    struct gguf_facts facts;
    struct err e = {0};

    (void)state;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(gguf_check_fd(ends[0], "a.gguf", &facts, &e), ERR_CONFIG);
    assert_non_null(strstr(e.text, "a.gguf is no file"));
    close(ends[0]);
    close(ends[1]);
}

static void the_types_are_those_of_the_pinned_library(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < GGML_TYPE_COUNT + 10; i++) {
        const struct gguf_tensor_type *t = gguf_tensor_type(i);
        bool known = i < GGML_TYPE_COUNT && ggml_blck_size((enum ggml_type)i) > 0;

        assert_int_equal(t != NULL, known);
        if (!t)
            continue;
        assert_string_equal(t->name, ggml_type_name((enum ggml_type)i));
        assert_int_equal(t->block_elements, ggml_blck_size((enum ggml_type)i));
        assert_int_equal(t->block_bytes, ggml_type_size((enum ggml_type)i));
    }
}

static void file_types_have_the_names_that_models_go_by(void **state)
{
    (void)state;
    assert_string_equal(gguf_file_type_name(LLAMA_FTYPE_MOSTLY_Q4_K_M), "Q4_K_M");
    assert_string_equal(gguf_file_type_name(LLAMA_FTYPE_MOSTLY_Q4_1), "Q4_1");
    assert_string_equal(gguf_file_type_name(LLAMA_FTYPE_MOSTLY_IQ3_M), "IQ3_M");
    assert_string_equal(gguf_file_type_name(LLAMA_FTYPE_MOSTLY_BF16), "BF16");
    assert_string_equal(gguf_file_type_name(LLAMA_FTYPE_MOSTLY_MXFP4_MOE), "MXFP4");
    assert_string_equal(gguf_file_type_name(LLAMA_FTYPE_MOSTLY_Q2_0), "Q2_0");
    assert_null(gguf_file_type_name(5));
    assert_null(gguf_file_type_name(LLAMA_FTYPE_MOSTLY_Q2_0 + 1));
    assert_null(gguf_file_type_name(LLAMA_FTYPE_GUESSED));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_crafted_file_is_refused_with_what_is_wrong_in_it),
        cmocka_unit_test(what_the_good_file_says_is_told),
        cmocka_unit_test(a_file_that_names_neither_type_nor_shards_is_good),
        cmocka_unit_test(a_file_cut_anywhere_is_refused),
        cmocka_unit_test(tokens_that_would_end_the_library_are_refused),
        cmocka_unit_test(a_disk_that_fails_is_told),
        cmocka_unit_test(what_is_no_file_is_refused),
        cmocka_unit_test(the_types_are_those_of_the_pinned_library),
        cmocka_unit_test(file_types_have_the_names_that_models_go_by),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
