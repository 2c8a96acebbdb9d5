/* SPDX-License-Identifier: Apache-2.0 */
/* Nothing is allocated for a chunk that is sealed or opened: every allocation of the process is
 * counted, by the sanitizer's hook where one is built in, else by standing before the C library. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "seal/box.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

static volatile size_t n_allocations; /* the compiler thinks that it knows what malloc() changes */

#ifdef SANITIZED

/* As in <sanitizer/allocator_interface.h>, which Debian installs with clang only. */
int __sanitizer_install_malloc_and_free_hooks(void (*malloc_hook)(const volatile void *, size_t),
                                              void (*free_hook)(const volatile void *));

static void on_malloc(const volatile void *p, size_t n)
{
    (void)p;
    (void)n;
    n_allocations++;
}

static void on_free(const volatile void *p)
{
    (void)p;
}

static void count_allocations(void)
{
    assert_int_not_equal(__sanitizer_install_malloc_and_free_hooks(on_malloc, on_free), 0);
}

#else

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *p, size_t n);

void *malloc(size_t n)
{
    n_allocations++;
    return __libc_malloc(n);
}

void *calloc(size_t count, size_t size)
{
    n_allocations++;
    return __libc_calloc(count, size);
}

void *realloc(void *p, size_t n)
{
    n_allocations++;
    return __libc_realloc(p, n);
}

static void count_allocations(void) {}

#endif

enum { CHUNKS = 1000, LARGEST = 16 << 10 };

struct ends {
    struct box_slab *slab;
    struct box_pair *pair;
    struct box_session *coordinator, *provider;
};

static void meet(struct ends *e)
{
    uint8_t key[BOX_KEY_BYTES];

    assert_int_equal(box_slab_new(2, &e->slab), 0);
    assert_int_equal(box_pair_new(&e->pair), 0);
    assert_int_equal(box_public_parse(str_from(box_pair_public_b64(e->pair)), key), 0);
    assert_int_equal(box_session_open(e->slab, key, &e->coordinator), 0);
    assert_int_equal(box_public_parse(str_from(box_session_public_b64(e->coordinator)), key), 0);
    assert_int_equal(box_session_accept(e->slab, e->pair, key, &e->provider), 0);
}

static void part(struct ends *e)
{
    box_session_close(e->coordinator);
    box_session_close(e->provider);
    box_pair_free(e->pair);
    box_slab_free(e->slab);
}

/* The counter must be able to fail. */
static void an_allocation_is_counted(void **state)
{
    size_t before = n_allocations;
    void *volatile p = malloc(10);

    (void)state;
    free(p);
    assert_int_equal(n_allocations, before + 1);
}

static void a_chunk_is_sealed_and_opened_without_allocating(void **state)
{
    static const size_t sizes[] = {0, 1, 200, 4096, LARGEST};
    static char text[LARGEST], sealed[2 * LARGEST];
    struct buf plain;
    struct ends e;
    size_t before;

    (void)state;
    meet(&e);
    buf_init(&plain, 2 * LARGEST);
    /* The first chunk makes the buffer grow to what this request needs. */
    assert_int_equal(box_seal(e.provider, (struct str){text, LARGEST}, sealed), 0);
    assert_int_equal(box_open(e.coordinator, (struct str){sealed, box_sealed_len(LARGEST)}, &plain),
                     0);
    before = n_allocations;
    for (size_t i = 0; i < CHUNKS; i++) {
        struct str chunk = {text, sizes[i % (sizeof sizes / sizeof sizes[0])]};
        struct str envelope = {sealed, box_sealed_len(chunk.n)};

        if (box_seal(e.provider, chunk, sealed) < 0 ||
            box_open(e.coordinator, envelope, &plain) < 0 || plain.len != chunk.n)
            fail_msg("chunk %zu", i);
    }
    assert_int_equal(n_allocations, before);
    buf_free(&plain);
    part(&e);
}

static void a_session_is_opened_and_closed_without_allocating(void **state)
{
    struct ends e;
    uint8_t key[BOX_KEY_BYTES];
    size_t before;

    (void)state;
    meet(&e);
    assert_int_equal(box_public_parse(str_from(box_pair_public_b64(e.pair)), key), 0);
    before = n_allocations;
    for (int i = 0; i < 10; i++) {
        box_session_close(e.coordinator);
        if (box_session_open(e.slab, key, &e.coordinator) < 0)
            fail_msg("session %d", i);
    }
    assert_int_equal(n_allocations, before);
    part(&e);
}

static int up(void **state)
{
    (void)state;
    count_allocations();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_allocation_is_counted),
        cmocka_unit_test(a_chunk_is_sealed_and_opened_without_allocating),
        cmocka_unit_test(a_session_is_opened_and_closed_without_allocating),
    };

    return cmocka_run_group_tests(tests, up, NULL);
}
