/* SPDX-License-Identifier: Apache-2.0 */
/* Text of prompts and answers does not stay behind in freed memory: every block that the process
 * frees is looked through, and what it takes is counted, by the sanitizer's hook where one is built
 * in, else by standing before the C library. */
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/chat.h"
#include "proto/chunk.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

#define SECRET "the-quick-brown-secret"

static volatile size_t n_left_behind; /* the compiler thinks that it knows what free() changes */

static volatile size_t allocated_bytes;

static void look_through(const volatile void *p, size_t n)
{
    if (p && memmem((const void *)p, n, SECRET, sizeof SECRET - 1))
        n_left_behind++;
}

#ifdef SANITIZED

/* As in <sanitizer/allocator_interface.h>, which Debian installs with clang only. */
int __sanitizer_install_malloc_and_free_hooks(void (*malloc_hook)(const volatile void *, size_t),
                                              void (*free_hook)(const volatile void *));
size_t __sanitizer_get_allocated_size(const volatile void *p);

static void on_malloc(const volatile void *p, size_t n)
{
    (void)p;
    allocated_bytes += n;
}

static void on_free(const volatile void *p)
{
    look_through(p, p ? __sanitizer_get_allocated_size(p) : 0);
}

static void watch(void)
{
    assert_int_not_equal(__sanitizer_install_malloc_and_free_hooks(on_malloc, on_free), 0);
}

#else

void __libc_free(void *p);
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *p, size_t n);

void *malloc(size_t n)
{
    allocated_bytes += n;
    return __libc_malloc(n);
}

void *calloc(size_t count, size_t size)
{
    allocated_bytes += count * size;
    return __libc_calloc(count, size);
}

void *realloc(void *p, size_t n)
{
    allocated_bytes += n;
    return __libc_realloc(p, n);
}

void free(void *p)
{
    look_through(p, p ? malloc_usable_size(p) : 0);
    __libc_free(p);
}

static void watch(void) {}

#endif

enum { REGION_BYTES = 8 << 20, OUT_BYTES = 1 << 20 };

/* The watch must be able to see something. */
static void what_is_freed_unwiped_is_seen(void **state)
{
    size_t before = n_left_behind;
    volatile char *p = malloc(64); /* or the compiler leaves out what nobody reads */

    (void)state;
    for (size_t i = 0; i < sizeof SECRET; i++)
        p[i] = SECRET[i];
    free((void *)(uintptr_t)p);
    assert_int_equal(n_left_behind, before + 1);
}

static const char *const bodies[] = {
    "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"" SECRET "\"}]}",
    "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"" SECRET "\"}],"
    "\"stop\":[\"" SECRET "\"],\"max_tokens\":0}",
    "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"" SECRET "\"}",
    "{\"model\":\"m\",\"messages\":\"" SECRET "\"}",
};

static void a_request_leaves_nothing_behind_when_its_region_is_gone(void **state)
{
    size_t before = n_left_behind;

    (void)state;
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        struct chat_request r;
        struct api_error e;
        struct arena region;
        struct buf forwarded;

        arena_init(&region, REGION_BYTES);
        buf_init(&forwarded, OUT_BYTES);
        (void)chat_request_parse(str_from(bodies[i]), &region, &r, &e);
        (void)chat_request_rewrite(&r, str_from(bodies[i]), 1, &forwarded);
        buf_free(&forwarded);
        arena_free(&region);
        if (n_left_behind != before)
            fail_msg("%s", bodies[i]);
    }
}

static void an_answer_leaves_nothing_behind(void **state)
{
    const struct str chunk =
        STR("{\"choices\":[{\"delta\":{\"content\":\"" SECRET "<think>" SECRET
            "</think>\",\"reasoning_content\":\"" SECRET "\"}}],\"usage\":null}");
    const struct str calls =
        STR("{\"choices\":[{\"delta\":{\"tool_calls\":[{\"id\":\"" SECRET
            "\",\"function\":{\"name\":\"" SECRET "\",\"arguments\":\"" SECRET "\"}}]}}]}");
    size_t before = n_left_behind;
    struct chunk_join *j;
    struct arena region;
    struct buf out;

    (void)state;
    arena_init(&region, REGION_BYTES);
    buf_init(&out, OUT_BYTES);
    assert_int_equal(chunk_normalise(chunk, true, true, &region, &out), 0);
    assert_int_equal(chunk_join_new(&region, OUT_BYTES, NULL, &j), 0);
    for (int i = 0; i < 100; i++)
        assert_int_equal(chunk_join_add(j, chunk), 0);
    assert_int_equal(chunk_join_add(j, calls), 0);
    assert_int_equal(chunk_join_add(j, STR("{\"choices\":\"" SECRET "\"")), ERR_PARSE);
    assert_int_equal(
        chunk_join_write(j, &(struct chunk_head){.model = STR("m")}, 1, 1, (struct str){0}, &out),
        0);
    assert_non_null(memmem(buf_view(&out).p, out.len, SECRET, sizeof SECRET - 1));
    chunk_join_free(j);
    buf_free(&out);
    arena_free(&region);
    assert_int_equal(n_left_behind, before);
}

static int up(void **state)
{
    (void)state;
    watch();
    return 0;
}

/* L2: what a body costs does not grow with what stands in it, and no copy of a prompt is made. */
static void a_body_takes_no_memory_but_its_region(void **state)
{
    enum { BODY_BYTES = 6 << 20 };
    static const struct {
        const char *before, *unit, *after;
        int code;
    } cases[] = {
        {"{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"", SECRET, "\"}]}", 0},
        {"{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"\"}],\"x\":[0", ",1",
         "]}", 0},
        {"{\"a\":1", ",\"a\":1", "}", ERR_DENIED},
        {"{\"model\":\"m\",\"messages\":[{\"a\":1", ",\"a\":1", "}]}", ERR_DENIED},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct chat_request r;
        struct api_error e;
        struct arena region;
        struct buf body;
        size_t before;

        arena_init(&region, REGION_BYTES);
        buf_init(&body, BODY_BYTES + 1024);
        assert_int_equal(buf_append_str(&body, str_from(cases[i].before)), 0);
        while (body.len < BODY_BYTES)
            assert_int_equal(buf_append_str(&body, str_from(cases[i].unit)), 0);
        assert_int_equal(buf_append_str(&body, str_from(cases[i].after)), 0);
        before = allocated_bytes;
        assert_int_equal(chat_request_parse(buf_view(&body), &region, &r, &e), cases[i].code);
        assert_true(allocated_bytes - before < 16 << 10);
        buf_wipe(&body);
        buf_free(&body);
        arena_free(&region);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_freed_unwiped_is_seen),
        cmocka_unit_test(a_body_takes_no_memory_but_its_region),
        cmocka_unit_test(a_request_leaves_nothing_behind_when_its_region_is_gone),
        cmocka_unit_test(an_answer_leaves_nothing_behind),
    };

    return cmocka_run_group_tests(tests, up, NULL);
}
