/* SPDX-License-Identifier: Apache-2.0 */
/* Envelopes between two ends: what opens, and that nothing else does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/b64.h"
#include "seal/box.h"

enum { PLAIN_BYTES = 8 << 20, SLOTS = 4 };

/* A coordinator's and a provider's end of one request. */
struct ends {
    struct box_slab *slab;
    struct box_pair *provider_pair;
    struct box_session *coordinator, *provider;
    struct buf sealed, plain;
};

static void public_of(const char *b64, uint8_t ret_key[BOX_KEY_BYTES])
{
    assert_int_equal(box_public_parse(str_from(b64), ret_key), 0);
}

static int up(void **state)
{
    struct ends *e = calloc(1, sizeof *e);
    uint8_t key[BOX_KEY_BYTES];

    buf_init(&e->sealed, 2 * PLAIN_BYTES);
    buf_init(&e->plain, PLAIN_BYTES);
    assert_int_equal(box_slab_new(SLOTS, &e->slab), 0);
    assert_int_equal(box_pair_new(&e->provider_pair), 0);
    public_of(box_pair_public_b64(e->provider_pair), key);
    assert_int_equal(box_session_open(e->slab, key, &e->coordinator), 0);
    public_of(box_session_public_b64(e->coordinator), key);
    assert_int_equal(box_session_accept(e->slab, e->provider_pair, key, &e->provider), 0);
    *state = e;
    return 0;
}

static int down(void **state)
{
    struct ends *e = *state;

    box_session_close(e->coordinator);
    box_session_close(e->provider);
    box_pair_free(e->provider_pair);
    box_slab_free(e->slab);
    buf_free(&e->sealed);
    buf_free(&e->plain);
    free(e);
    return 0;
}

static void seal(struct box_session *s, struct str plain, struct buf *out)
{
    buf_clear(out);
    assert_int_equal(box_seal_append(s, plain, out), 0);
    assert_int_equal(out->len, box_sealed_len(plain.n));
}

/* --- what opens --- */

static void every_length_goes_both_ways(void **state)
{
    static const size_t big[] = {16344, 16383, 16384, 16385, 100000, 6 << 20};
    struct ends *e = *state;
    char *plain = malloc(6 << 20);

    for (size_t i = 0; i < 6 << 20; i++)
        plain[i] = (char)(i * 7 + i / 256);
    for (size_t i = 0; i < 200 + sizeof big / sizeof big[0]; i++) {
        struct str text = {plain, i < 200 ? i : big[i - 200]};

        seal(e->coordinator, text, &e->sealed);
        assert_int_equal(box_open(e->provider, buf_view(&e->sealed), &e->plain), 0);
        assert_true(str_eq(buf_view(&e->plain), text));
        seal(e->provider, text, &e->sealed);
        assert_int_equal(box_open(e->coordinator, buf_view(&e->sealed), &e->plain), 0);
        assert_true(str_eq(buf_view(&e->plain), text));
    }
    free(plain);
}

/* The relay writes the ciphertext into the middle of a frame. */
static void sealing_writes_no_byte_behind_its_place(void **state)
{
    struct ends *e = *state;

    for (size_t n = 0; n < 50; n++) {
        size_t sealed_n = box_sealed_len(n);
        char *text = malloc(sealed_n); /* exact: under ASan a NUL behind it is caught */
        char *guarded = malloc(sealed_n + 1);

        guarded[sealed_n] = '#';
        assert_int_equal(box_seal(e->provider,
                                  (struct str){"0123456789012345678901234567890123456"
                                               "7890123456789",
                                               n},
                                  guarded),
                         0);
        assert_int_equal(guarded[sealed_n], '#');
        memcpy(text, guarded, sealed_n);
        assert_int_equal(box_open(e->coordinator, (struct str){text, sealed_n}, &e->plain), 0);
        free(text);
        free(guarded);
    }
}

static void the_same_text_never_seals_to_the_same_bytes(void **state)
{
    enum { N = 300 }; /* more than one pool of nonces */
    struct ends *e = *state;
    uint8_t nonces[N][26];

    for (size_t i = 0; i < N; i++) {
        size_t n;

        seal(e->provider, STR("the same"), &e->sealed);
        assert_int_equal(
            b64_decode((struct str){buf_view(&e->sealed).p, 32}, nonces[i], sizeof nonces[i], &n),
            0);
        for (size_t k = 0; k < i; k++)
            assert_memory_not_equal(nonces[i], nonces[k], 24);
    }
}

static void each_request_has_a_key_of_its_own(void **state)
{
    struct ends *e = *state;
    struct box_session *other;
    uint8_t key[BOX_KEY_BYTES];

    public_of(box_pair_public_b64(e->provider_pair), key);
    assert_int_equal(box_session_open(e->slab, key, &other), 0);
    assert_string_not_equal(box_session_public_b64(other), box_session_public_b64(e->coordinator));
    assert_string_equal(box_session_public_b64(e->provider), box_pair_public_b64(e->provider_pair));
    seal(other, STR("for another request"), &e->sealed);
    assert_int_equal(box_open(e->provider, buf_view(&e->sealed), &e->plain), ERR_CRYPTO);
    box_session_close(other);
}

/* --- what does not open --- */

static void another_providers_key_opens_nothing(void **state)
{
    struct ends *e = *state;
    struct box_pair *stranger;
    struct box_session *s;
    uint8_t key[BOX_KEY_BYTES];

    assert_int_equal(box_pair_new(&stranger), 0);
    public_of(box_session_public_b64(e->coordinator), key);
    assert_int_equal(box_session_accept(e->slab, stranger, key, &s), 0);
    seal(e->coordinator, STR("a prompt"), &e->sealed);
    assert_int_equal(box_open(s, buf_view(&e->sealed), &e->plain), ERR_CRYPTO);
    assert_int_equal(e->plain.len, 0);
    box_session_close(s);
    box_pair_free(stranger);
}

/* Nonce, tag and text: each bit of each byte. */
static void a_flipped_bit_anywhere_is_refused(void **state)
{
    struct ends *e = *state;
    uint8_t bytes[128];
    size_t n;

    seal(e->coordinator, STR("sixteen and more bytes of prompt"), &e->sealed);
    assert_int_equal(b64_decode(buf_view(&e->sealed), bytes, sizeof bytes, &n), 0);
    assert_int_equal(n, BOX_OVERHEAD_BYTES + 32);
    for (size_t bit = 0; bit < 8 * n; bit++) {
        char text[B64_LEN(sizeof bytes) + 1];
        size_t text_n;

        bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
        text_n = b64_encode(bytes, n, text);
        assert_int_equal(box_open(e->provider, (struct str){text, text_n}, &e->plain), ERR_CRYPTO);
        assert_int_equal(e->plain.len, 0);
        bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
}

static void a_truncated_envelope_is_refused_at_each_length(void **state)
{
    struct ends *e = *state;
    uint8_t bytes[128];
    size_t whole;

    seal(e->coordinator, STR("sixteen and more bytes of prompt"), &e->sealed);
    for (size_t n = 0; n < e->sealed.len; n++) {
        struct str cut = {buf_view(&e->sealed).p, n};
        int rc = box_open(e->provider, cut, &e->plain);

        /* Whole groups of four are base64; below 40 bytes there is no room for nonce and tag. */
        assert_int_equal(rc,
                         n % 4 == 0 && n / 4 * 3 >= BOX_OVERHEAD_BYTES ? ERR_CRYPTO : ERR_PARSE);
    }
    assert_int_equal(b64_decode(buf_view(&e->sealed), bytes, sizeof bytes, &whole), 0);
    for (size_t n = 0; n < whole; n++) {
        char text[B64_LEN(sizeof bytes) + 1];
        size_t text_n = b64_encode(bytes, n, text);

        assert_int_equal(box_open(e->provider, (struct str){text, text_n}, &e->plain),
                         n < BOX_OVERHEAD_BYTES ? ERR_PARSE : ERR_CRYPTO);
    }
}

static void what_is_not_strict_base64_is_refused(void **state)
{
    static const struct {
        size_t at;
        char c;
    } spoilt[] = {{0, '-'}, {5, '_'}, {10, ' '}, {20, '\n'}, {30, '='}, {40, '\0'}, {54, '\x80'}};
    struct ends *e = *state;
    char *text;

    seal(e->coordinator, STR("a"), &e->sealed); /* 41 bytes: ends with one '=' */
    text = (char *)(uintptr_t)buf_view(&e->sealed).p;
    for (size_t i = 0; i < sizeof spoilt / sizeof spoilt[0]; i++) {
        char before = text[spoilt[i].at];

        text[spoilt[i].at] = spoilt[i].c;
        assert_int_equal(box_open(e->provider, buf_view(&e->sealed), &e->plain), ERR_PARSE);
        text[spoilt[i].at] = before;
    }
    assert_int_equal(box_open(e->provider, buf_view(&e->sealed), &e->plain), 0);
}

static void an_envelope_larger_than_its_buffer_is_refused(void **state)
{
    struct ends *e = *state;
    struct buf small;

    buf_init(&small, 50);
    seal(e->coordinator, STR("a plaintext that is longer than that"), &e->sealed);
    assert_int_equal(box_open(e->provider, buf_view(&e->sealed), &small), ERR_LIMIT);
    assert_int_equal(box_seal_append(e->coordinator, STR("likewise"), &small), ERR_LIMIT);
    assert_int_equal(small.len, 0);
    buf_free(&small);
}

/* --- keys and slots --- */

static void a_public_key_is_32_bytes_of_strict_base64(void **state)
{
    static const char *const bad[] = {
        "",
        "j0DFrbaPJWJK5bIU6nZ6bslNgp09e14a0bpvPiE4KF8",    /* no padding */
        "j0DFrbaPJWJK5bIU6nZ6bslNgp09e14a0bpvPiE4KF9=",   /* bits behind the end */
        "j0DFrbaPJWJK5bIU6nZ6bslNgp09e14a0bpvPiE4KF8=\n", /* longer */
        "j0DFrbaPJWJK5bIU6nZ6bslNgp09e14a0bpvPiE4KA==",   /* 31 bytes */
        "j0DFrbaPJWJK5bIU6nZ6bslNgp09e14a0bpvPiE4KF8A",   /* 33 bytes */
        "j0DFrbaPJWJK5bIU6nZ6bslNgp09e14a0bpvPi-4KF8=",   /* the other alphabet */
        " 0DFrbaPJWJK5bIU6nZ6bslNgp09e14a0bpvPiE4KF8=",
    };
    uint8_t key[BOX_KEY_BYTES], untouched[BOX_KEY_BYTES];

    (void)state;
    memset(untouched, 7, sizeof untouched);
    memcpy(key, untouched, sizeof key);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (box_public_parse(str_from(bad[i]), key) != ERR_PARSE)
            fail_msg("%s", bad[i]);
        assert_memory_equal(key, untouched, sizeof key);
    }
    assert_int_equal(box_public_parse(STR("j0DFrbaPJWJK5bIU6nZ6bslNgp09e14a0bpvPiE4KF8="), key), 0);
    assert_int_equal(key[0], 0x8f);
}

/* Points of low order make a shared key that everybody knows. */
static void a_key_of_low_order_is_refused_and_takes_no_slot(void **state)
{
    static const uint8_t low[][BOX_KEY_BYTES] = {
        {0},
        {1},
        {0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3,
         0xfa, 0xf1, 0x9f, 0xc4, 0x6a, 0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32,
         0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00},
    };
    struct ends *e = *state;
    struct box_session *s = NULL;

    for (size_t round = 0; round < 2 * SLOTS; round++) {
        for (size_t i = 0; i < sizeof low / sizeof low[0]; i++) {
            assert_int_equal(box_session_open(e->slab, low[i], &s), ERR_CRYPTO);
            assert_int_equal(box_session_accept(e->slab, e->provider_pair, low[i], &s), ERR_CRYPTO);
        }
    }
    assert_null(s);
}

static void a_full_slab_is_busy_until_a_session_closes(void **state)
{
    struct ends *e = *state;
    struct box_session *a, *b, *c = NULL;
    uint8_t key[BOX_KEY_BYTES];

    public_of(box_pair_public_b64(e->provider_pair), key);
    assert_int_equal(box_session_open(e->slab, key, &a), 0);
    assert_int_equal(box_session_open(e->slab, key, &b), 0); /* the fourth */
    assert_int_equal(box_session_open(e->slab, key, &c), ERR_BUSY);
    assert_int_equal(box_session_accept(e->slab, e->provider_pair, key, &c), ERR_BUSY);
    assert_null(c);
    box_session_close(a);
    assert_int_equal(box_session_open(e->slab, key, &c), 0);
    box_session_close(b);
    box_session_close(c);
    box_session_close(NULL);
    box_pair_free(NULL);
    box_slab_free(NULL);
}

/* What an earlier request left in the buffer is not part of the next one. */
static void opening_replaces_what_the_buffer_held(void **state)
{
    struct ends *e = *state;

    assert_int_equal(buf_append_str(&e->plain, STR("an earlier chunk")), 0);
    seal(e->coordinator, STR("b"), &e->sealed);
    assert_int_equal(box_open(e->provider, buf_view(&e->sealed), &e->plain), 0);
    assert_true(str_is(buf_view(&e->plain), "b"));
    assert_int_equal(box_open(e->provider, STR("!"), &e->plain), ERR_PARSE);
    assert_int_equal(e->plain.len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_length_goes_both_ways, up, down),
        cmocka_unit_test_setup_teardown(sealing_writes_no_byte_behind_its_place, up, down),
        cmocka_unit_test_setup_teardown(the_same_text_never_seals_to_the_same_bytes, up, down),
        cmocka_unit_test_setup_teardown(each_request_has_a_key_of_its_own, up, down),
        cmocka_unit_test_setup_teardown(another_providers_key_opens_nothing, up, down),
        cmocka_unit_test_setup_teardown(a_flipped_bit_anywhere_is_refused, up, down),
        cmocka_unit_test_setup_teardown(a_truncated_envelope_is_refused_at_each_length, up, down),
        cmocka_unit_test_setup_teardown(what_is_not_strict_base64_is_refused, up, down),
        cmocka_unit_test_setup_teardown(an_envelope_larger_than_its_buffer_is_refused, up, down),
        cmocka_unit_test_setup_teardown(a_public_key_is_32_bytes_of_strict_base64, up, down),
        cmocka_unit_test_setup_teardown(a_key_of_low_order_is_refused_and_takes_no_slot, up, down),
        cmocka_unit_test_setup_teardown(a_full_slab_is_busy_until_a_session_closes, up, down),
        cmocka_unit_test_setup_teardown(opening_replaces_what_the_buffer_held, up, down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
