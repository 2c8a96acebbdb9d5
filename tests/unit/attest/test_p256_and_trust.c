/* SPDX-License-Identifier: Apache-2.0 */
/* Public keys and signatures as they come, and the names of trust. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "attest/blob.h"
#include "base/b64.h"
#include "unit/attest/fake_key.h"

static void a_key_is_taken_with_or_without_its_format_byte(void **state)
{
    struct fake_key *k = fake_key_new();
    uint8_t raw[80] = {4}, key[P256_PUBLIC_MAX_BYTES], again[P256_PUBLIC_MAX_BYTES];
    char b64[B64_LEN(65) + 1];
    size_t n;

    (void)state;
    assert_int_equal(attest_p256_parse(str_from(fake_key_public(k)), key), 0);
    assert_int_equal(b64_decode(str_from(fake_key_public(k)), raw + 1, sizeof raw - 1, &n), 0);
    n = b64_encode(raw, 65, b64);
    assert_int_equal(attest_p256_parse((struct str){b64, n}, again), 0);
    assert_memory_equal(key, again, sizeof key);
    assert_memory_equal(key, raw, sizeof key);
    fake_key_free(k);
}

/* In bytes: which of a good 04 || X || Y is changed, and how many are kept. */
static const struct {
    const char *what;
    size_t at, n;
    uint8_t by;
} bad_keys[] = {
    {"compressed form", 0, 65, 2}, {"a point beside the curve", 64, 65, 0},
    {"hybrid form", 0, 65, 6},     {"a byte short", 1, 63, 0},
    {"nothing", 1, 0, 0},          {"infinity", 0, 1, 0},
};

static void what_is_no_point_of_the_curve_is_no_key(void **state)
{
    struct fake_key *k = fake_key_new();
    uint8_t raw[80] = {4}, key[P256_PUBLIC_MAX_BYTES];
    size_t n;

    (void)state;
    assert_int_equal(b64_decode(str_from(fake_key_public(k)), raw + 1, sizeof raw - 1, &n), 0);
    for (size_t i = 0; i < sizeof bad_keys / sizeof bad_keys[0]; i++) {
        char b64[B64_LEN(66) + 1];
        uint8_t changed[80];

        memcpy(changed, raw, sizeof changed);
        changed[bad_keys[i].at] =
            bad_keys[i].by ? bad_keys[i].by : (uint8_t)(raw[bad_keys[i].at] ^ 1);
        n = b64_encode(changed, bad_keys[i].n, b64);
        if (attest_p256_parse((struct str){b64, n}, key) != ERR_PARSE)
            fail_msg("%s", bad_keys[i].what);
    }
    assert_int_equal(attest_p256_parse(STR("not base64!!"), key), ERR_PARSE);
    fake_key_free(k);
}

static void a_signature_verifies_for_its_key_and_text_only(void **state)
{
    struct fake_key *k = fake_key_new(), *stranger = fake_key_new();
    uint8_t key[P256_PUBLIC_MAX_BYTES], other[P256_PUBLIC_MAX_BYTES];
    char signature[FAKE_SIGNATURE_BYTES];

    (void)state;
    assert_int_equal(attest_p256_parse(str_from(fake_key_public(k)), key), 0);
    assert_int_equal(attest_p256_parse(str_from(fake_key_public(stranger)), other), 0);
    fake_key_sign(k, STR("text"), signature);
    assert_int_equal(attest_p256_verify(key, STR("text"), str_from(signature)), 0);
    assert_int_equal(attest_p256_verify(key, STR("texts"), str_from(signature)), ERR_CRYPTO);
    assert_int_equal(attest_p256_verify(key, STR(""), str_from(signature)), ERR_CRYPTO);
    assert_int_equal(attest_p256_verify(other, STR("text"), str_from(signature)), ERR_CRYPTO);
    assert_int_equal(attest_p256_verify(key, STR("text"), STR("")), ERR_PARSE);
    assert_int_equal(attest_p256_verify(key, STR("text"), STR("????")), ERR_PARSE);
    assert_int_equal(attest_p256_verify(key, STR("text"), STR("AAAA")), ERR_CRYPTO);
    /* r = s = 0, which a careless verifier takes for anybody's signature */
    assert_int_equal(attest_p256_verify(key, STR("text"), STR("MAYCAQACAQA=")), ERR_CRYPTO);
    fake_key_free(k);
    fake_key_free(stranger);
}

static void trust_levels_are_read_by_their_names_only(void **state)
{
    static const char *const names[] = {"none", "self_signed", "hardware_virtual", "hardware"};
    static const char *const unknown[] = {"", "None", "hardware ", "trusted", "0"};

    (void)state;
    for (int level = TRUST_NONE; level <= TRUST_HARDWARE; level++) {
        enum trust_level read = TRUST_HARDWARE;

        assert_string_equal(trust_name((enum trust_level)level), names[level]);
        assert_int_equal(trust_parse(str_from(names[level]), &read), 0);
        assert_int_equal(read, level);
    }
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
        enum trust_level read = TRUST_HARDWARE;

        assert_int_equal(trust_parse(str_from(unknown[i]), &read), ERR_RANGE);
        assert_int_equal(read, TRUST_HARDWARE);
    }
}

static void every_reason_has_a_code_of_its_own_and_a_help(void **state)
{
    (void)state;
    for (int a = TRUST_REASON_NEW; a <= TRUST_REASON_UNDECRYPTABLE; a++) {
        const char *code = trust_reason_code((enum trust_reason)a);

        assert_true(strspn(code, "abcdefghijklmnopqrstuvwxyz_") == strlen(code) && code[0]);
        assert_true(strlen(trust_reason_help((enum trust_reason)a)) > 10);
        for (int b = TRUST_REASON_NEW; b < a; b++)
            assert_string_not_equal(code, trust_reason_code((enum trust_reason)b));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_is_taken_with_or_without_its_format_byte),
        cmocka_unit_test(what_is_no_point_of_the_curve_is_no_key),
        cmocka_unit_test(a_signature_verifies_for_its_key_and_text_only),
        cmocka_unit_test(trust_levels_are_read_by_their_names_only),
        cmocka_unit_test(every_reason_has_a_code_of_its_own_and_a_help),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
