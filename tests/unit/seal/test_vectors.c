/* SPDX-License-Identifier: Apache-2.0 */
/* Envelopes of an independent implementation, both ways: we open what PyNaCl sealed, and with its
 * keys and its nonce in the place of randomness we seal the same bytes. */
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/b64.h"
#include "seal/box.h"
#include "unit/seal/vectors.h"

enum { PLAIN_BYTES = 1 << 16, N_VECTORS = sizeof vectors / sizeof vectors[0] };

/* --- randomness of the vectors: 32 bytes are asked for a secret, more for nonces --- */

static const struct vector *scripted;

static const char *scripted_name(void)
{
    return "scripted";
}

static void scripted_buf(void *const at, const size_t n)
{
    for (size_t i = 0; i < n; i++)
        ((uint8_t *)at)[i] = !scripted ? (uint8_t)i
                             : n == 32 ? scripted->secret[i]
                                       : scripted->nonce[i % sizeof scripted->nonce];
}

static uint32_t scripted_random(void)
{
    return 4; /* libsodium wants one for its canaries */
}

static struct randombytes_implementation scripted_source = {
    .implementation_name = scripted_name, .random = scripted_random, .buf = scripted_buf};

static int up(void **state)
{
    static struct box_slab *slab;

    if (randombytes_set_implementation(&scripted_source) < 0 || box_slab_new(2, &slab) < 0)
        return -1;
    *state = slab;
    return 0;
}

static int down(void **state)
{
    box_slab_free(*state);
    return 0;
}

/* --- the vectors --- */

static struct str plain_of(const struct vector *v, uint8_t *ret_bytes)
{
    size_t n = strlen(v->plain_hex) / 2;

    assert_int_equal(hex_decode(str_from(v->plain_hex), ret_bytes, n), 0);
    return (struct str){(const char *)ret_bytes, n};
}

static void assert_seals_to(struct box_session *s, const struct vector *v)
{
    uint8_t bytes[1024];
    struct buf out;

    buf_init(&out, PLAIN_BYTES);
    assert_int_equal(box_seal_append(s, plain_of(v, bytes), &out), 0);
    assert_true(str_is(buf_view(&out), v->sealed));
    buf_free(&out);
}

static void assert_opens(struct box_session *s, const struct vector *v)
{
    uint8_t bytes[1024];
    struct buf out;

    buf_init(&out, PLAIN_BYTES);
    assert_int_equal(box_open(s, str_from(v->sealed), &out), 0);
    assert_true(str_eq(buf_view(&out), plain_of(v, bytes)));
    buf_free(&out);
}

static void what_pynacl_sealed_opens_at_both_ends(void **state)
{
    for (size_t i = 0; i < N_VECTORS; i++) {
        const struct vector *v = &vectors[i];
        struct box_pair *near_end, *far_end;
        struct box_session *s;
        uint8_t key[BOX_KEY_BYTES];

        assert_int_equal(box_pair_from_secret(v->secret, &near_end), 0);
        assert_int_equal(box_pair_from_secret(v->peer_secret, &far_end), 0);
        assert_string_equal(box_pair_public_b64(near_end), v->public_b64);
        assert_string_equal(box_pair_public_b64(far_end), v->peer_public_b64);

        assert_int_equal(box_public_parse(str_from(v->public_b64), key), 0);
        assert_int_equal(box_session_accept(*state, far_end, key, &s), 0);
        assert_opens(s, v);
        box_session_close(s);

        assert_int_equal(box_public_parse(str_from(v->peer_public_b64), key), 0);
        assert_int_equal(box_session_accept(*state, near_end, key, &s), 0);
        assert_opens(s, v);
        box_session_close(s);
        box_pair_free(near_end);
        box_pair_free(far_end);
    }
}

/* The coordinator's end draws its secret, the provider's has one; the bytes are the same. */
static void with_pynacls_keys_and_nonce_the_bytes_are_pynacls(void **state)
{
    for (size_t i = 0; i < N_VECTORS; i++) {
        const struct vector *v = &vectors[i];
        struct box_session *s;
        struct box_slab *slab; /* of its own: it keeps a pool of nonces */
        struct box_pair *own;
        uint8_t key[BOX_KEY_BYTES];

        scripted = v;
        assert_int_equal(box_slab_new(1, &slab), 0);
        assert_int_equal(box_public_parse(str_from(v->peer_public_b64), key), 0);
        assert_int_equal(box_session_open(slab, key, &s), 0);
        assert_string_equal(box_session_public_b64(s), v->public_b64);
        assert_seals_to(s, v);
        box_session_close(s);

        assert_int_equal(box_pair_from_secret(v->secret, &own), 0);
        assert_int_equal(box_session_accept(slab, own, key, &s), 0);
        assert_string_equal(box_session_public_b64(s), v->public_b64);
        assert_seals_to(s, v);
        box_session_close(s);
        box_pair_free(own);
        box_slab_free(slab);
    }
    scripted = NULL;
    (void)state;
}

/* A request that the existing coordinator sealed to the key whose secret is the bytes 0 to 31, and
 * the last chunk of the answer, sealed by a provider of the existing system. */
static void the_recorded_request_and_answer_of_the_existing_system_open(void **state)
{
    static const struct {
        const char *ephemeral, *sealed, *plain;
    } recorded[] = {
        {"dEyC9JgZLXM63WMFuAnrtSX4Q2wrU9Z5OJNFaxaKFgs=",
         "me2bWiTSH2txeDfo2iTqggv83wIobImnfHgp1b447VVcLYEz4pQFm1QCpS3OvPFciXKf+LaY61dT0XdaLyn7dWuVP"
         "fae8lNFRhM4NsfRwzhDDG88kECXUfQn6JTNtLWfxfZ7NzM8TtcHCtgjmGuL6KaUzEpnHRQOLxDoyAXowoPs4XJoLx"
         "iqr90Y/qUsc6Hz2OnThl0=",
         "{\"model\":\"mlx-community/gemma-4-26b-a4b-it-8bit\",\"messages\":[{\"role\":\"user\","
         "\"content\":\"hi\"}],\"max_tokens\":16}"},
        {"U7jYoVwtZEYZJXXhNQ6PvAaxYDcO5Mcvk9se5nomqgk=",
         "g+90rbiFdjjjlX2A9n29R0LP/R2268hIDtXDWM/U6IjGCEUDYa5xiNJCM23PNdEVk1CK8g==",
         "data: [DONE]"},
    };
    uint8_t secret[BOX_KEY_BYTES], key[BOX_KEY_BYTES];
    struct box_pair *own;
    struct buf out;

    for (size_t i = 0; i < sizeof secret; i++)
        secret[i] = (uint8_t)i;
    buf_init(&out, PLAIN_BYTES);
    assert_int_equal(box_pair_from_secret(secret, &own), 0);
    for (size_t i = 0; i < sizeof recorded / sizeof recorded[0]; i++) {
        struct box_session *s;

        assert_int_equal(box_public_parse(str_from(recorded[i].ephemeral), key), 0);
        assert_int_equal(box_session_accept(*state, own, key, &s), 0);
        assert_int_equal(box_open(s, str_from(recorded[i].sealed), &out), 0);
        assert_true(str_is(buf_view(&out), recorded[i].plain));
        box_session_close(s);
    }
    buf_free(&out);
    box_pair_free(own);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_pynacl_sealed_opens_at_both_ends),
        cmocka_unit_test(with_pynacls_keys_and_nonce_the_bytes_are_pynacls),
        cmocka_unit_test(the_recorded_request_and_answer_of_the_existing_system_open),
    };

    return cmocka_run_group_tests(tests, up, down);
}
