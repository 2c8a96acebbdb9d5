/* SPDX-License-Identifier: Apache-2.0 */
/* Time, randomness and errors as parameters: what is made of what was passed in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/rand.h"
#include "base/str.h"

/* --- time --- */

static void instants_are_written_as_rfc_3339_in_utc(void **state)
{
    static const struct {
        int64_t wall_us;
        const char *text;
    } cases[] = {
        {0, "1970-01-01T00:00:00Z"},
        {999999, "1970-01-01T00:00:00Z"}, /* cut, not rounded */
        {1795467067000000, "2026-11-23T20:51:07Z"},
        {1709164800000000, "2024-02-29T00:00:00Z"},
        {4102444799999999, "2099-12-31T23:59:59Z"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[CLOCK_RFC3339_BYTES];

        clock_rfc3339(cases[i].wall_us, text);
        assert_string_equal(text, cases[i].text);
    }
}

static void the_systems_monotonic_clock_does_not_run_backwards(void **state)
{
    struct clock c = clock_system();
    int64_t before = clock_mono_us(&c);

    (void)state;
    for (int i = 0; i < 1000; i++) {
        int64_t now = clock_mono_us(&c);

        assert_true(now >= before);
        before = now;
    }
    assert_true(clock_wall_us(&c) > 1700000000000000); /* after 2023, so it is in microseconds */
}

/* --- randomness --- */

/* A source that repeats the bytes of a script. */
struct script {
    const uint8_t *bytes;
    size_t n, at;
};

static void scripted_fill(void *ud, void *ret_bytes, size_t n)
{
    struct script *s = ud;

    for (size_t i = 0; i < n; i++)
        ((uint8_t *)ret_bytes)[i] = s->bytes[s->at++ % s->n];
}

static void a_uuid_carries_version_variant_and_the_given_bytes(void **state)
{
    static const struct {
        uint8_t byte;
        const char *text;
    } cases[] = {{0x00, "00000000-0000-4000-8000-000000000000"},
                 {0xff, "ffffffff-ffff-4fff-bfff-ffffffffffff"},
                 {0x5a, "5a5a5a5a-5a5a-4a5a-9a5a-5a5a5a5a5a5a"}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct script s = {&cases[i].byte, 1, 0};
        struct rand_src r = {scripted_fill, &s};
        char text[RAND_UUID_BYTES];

        rand_uuid(&r, text);
        assert_string_equal(text, cases[i].text);
        assert_int_equal(s.at, 16);
    }
}

static void an_ordered_uuid_begins_with_the_milliseconds_and_sorts_by_them(void **state)
{
    static const struct {
        int64_t wall_us;
        uint8_t byte;
        const char *text;
    } cases[] = {
        {0, 0xff, "00000000-0000-7fff-bfff-ffffffffffff"},
        {999, 0x00, "00000000-0000-7000-8000-000000000000"},              /* below a millisecond */
        {1645557742000000, 0x5a, "017f22e2-79b0-7a5a-9a5a-5a5a5a5a5a5a"}, /* RFC 9562 A.6 */
        {1645557742001000, 0x00, "017f22e2-79b1-7000-8000-000000000000"}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct script s = {&cases[i].byte, 1, 0};
        struct rand_src r = {scripted_fill, &s};
        char text[RAND_UUID_BYTES];

        rand_uuid_ordered(&r, cases[i].wall_us, text);
        assert_string_equal(text, cases[i].text);
    }
}

static void a_bounded_number_stays_below_its_bound_at_both_ends_of_the_source(void **state)
{
    static const struct {
        uint8_t byte;
        uint32_t bound, value;
    } cases[] = {{0x00, 0, 0},   {0xff, 0, 0},  {0xff, 1, 0},
                 {0x00, 10, 0},  {0xff, 10, 9}, {0x80, 10, 5},
                 {0xff, 2, 1},   {0x7f, 2, 0},  {0xff, UINT32_MAX, UINT32_MAX - 1},
                 {0x00, 1000, 0}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct script s = {&cases[i].byte, 1, 0};
        struct rand_src r = {scripted_fill, &s};

        assert_int_equal(rand_below(&r, cases[i].bound), cases[i].value);
    }
}

static void the_systems_source_does_not_repeat_itself(void **state)
{
    struct rand_src r = rand_system();
    uint8_t a[32] = {0}, b[32] = {0};

    (void)state;
    rand_fill(&r, a, sizeof a);
    rand_fill(&r, b, sizeof b);
    assert_memory_not_equal(a, b, sizeof a);
}

/* --- errors --- */

static void every_code_has_words_of_its_own(void **state)
{
    static const int codes[] = {
#define ERR_CODE(name, number, text) ERR_##name,
        ERR_TABLE(ERR_CODE)
#undef ERR_CODE
    };

    (void)state;
    assert_string_equal(err_str(0), "success");
    assert_string_equal(err_str(1), "unknown error");
    assert_string_equal(err_str(-9999), "unknown error");
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        assert_true(codes[i] < 0);
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(err_str(codes[i]), err_str(codes[j]));
        assert_string_not_equal(err_str(codes[i]), "unknown error");
    }
}

static void an_error_keeps_its_code_and_a_text_that_is_cut_to_fit(void **state)
{
    struct err e = {0};

    (void)state;
    assert_int_equal(err_set(&e, ERR_RANGE, "port %d is %s", 99999, "too large"), ERR_RANGE);
    assert_int_equal(e.code, ERR_RANGE);
    assert_string_equal(e.text, "port 99999 is too large");
    assert_int_equal(err_errno(&e, ERR_IO, 2 /* ENOENT */, "cannot open %s", "x"), ERR_IO);
    assert_string_equal(e.text, "cannot open x: No such file or directory");
    assert_int_equal(err_errno(&e, ERR_IO, 2, "%0500d", 1), ERR_IO);
    assert_int_equal(strlen(e.text), sizeof e.text - 1);
    assert_int_equal(err_set(NULL, ERR_BUSY, "nobody reads this"), ERR_BUSY);
    assert_int_equal(err_errno(NULL, ERR_BUSY, 2, "nor this"), ERR_BUSY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(instants_are_written_as_rfc_3339_in_utc),
        cmocka_unit_test(the_systems_monotonic_clock_does_not_run_backwards),
        cmocka_unit_test(a_uuid_carries_version_variant_and_the_given_bytes),
        cmocka_unit_test(an_ordered_uuid_begins_with_the_milliseconds_and_sorts_by_them),
        cmocka_unit_test(a_bounded_number_stays_below_its_bound_at_both_ends_of_the_source),
        cmocka_unit_test(the_systems_source_does_not_repeat_itself),
        cmocka_unit_test(every_code_has_words_of_its_own),
        cmocka_unit_test(an_error_keeps_its_code_and_a_text_that_is_cut_to_fit),
    };

    return cmocka_run_group_tests_name("injected", tests, NULL, NULL);
}
