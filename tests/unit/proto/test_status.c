/* SPDX-License-Identifier: Apache-2.0 */
/* The canonical status: the bytes that a provider signs and a coordinator rebuilds. A character too
 * many and no signature verifies, so the vectors are exact. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/status.h"

enum { OUT_BYTES = 1 << 16 };

#define UNSET PROTO_TRI_UNSET
#define FALSE PROTO_TRI_FALSE
#define TRUE  PROTO_TRI_TRUE

static struct proto_pair two_templates[] = {{STR("chatml"), STR("22")}, {STR("alpaca"), STR("11")}};
static struct proto_pair odd_model[] = {{STR("<a&b>"), STR("\xE2\x80\xA8")}};
/* "a" < "ab" < "b": a prefix goes first, whatever the order of arrival. */
static struct proto_pair prefixes[] = {
    {STR("b"), STR("3")}, {STR("ab"), STR("2")}, {STR("a"), STR("1")}};

static const struct {
    const char *what;
    struct status_input in;
    const char *rust, *go; /* go NULL: the same */
} vectors[] = {
    {"least",
     {.nonce = STR("bm9uY2U="),
      .timestamp = STR("2026-11-23T20:51:07Z"),
      .hypervisor_active = UNSET,
      .rdma_disabled = UNSET,
      .sip_enabled = UNSET,
      .secure_boot_enabled = UNSET},
     "{\"nonce\":\"bm9uY2U=\",\"timestamp\":\"2026-11-23T20:51:07Z\"}",
     NULL},
    {"nonce and time stand even when empty",
     {.hypervisor_active = UNSET,
      .rdma_disabled = UNSET,
      .sip_enabled = UNSET,
      .secure_boot_enabled = UNSET},
     "{\"nonce\":\"\",\"timestamp\":\"\"}",
     NULL},
    {"all",
     {.nonce = STR("n"),
      .timestamp = STR("t"),
      .hypervisor_active = TRUE,
      .rdma_disabled = FALSE,
      .sip_enabled = TRUE,
      .secure_boot_enabled = FALSE,
      .active_model_hash = STR("1"),
      .binary_hash = STR("2"),
      .grpc_binary_hash = STR("3"),
      .image_bridge_hash = STR("4"),
      .python_hash = STR("5"),
      .runtime_hash = STR("6"),
      .model_hashes = {odd_model, 1},
      .template_hashes = {two_templates, 2}},
     "{\"active_model_hash\":\"1\",\"binary_hash\":\"2\",\"grpc_binary_hash\":\"3\","
     "\"hypervisor_active\":true,\"image_bridge_hash\":\"4\",\"model_hashes\":{\"<a&b>\":"
     "\"\xE2\x80\xA8\"},\"nonce\":\"n\",\"python_hash\":\"5\",\"rdma_disabled\":false,"
     "\"runtime_hash\":\"6\",\"secure_boot_enabled\":false,\"sip_enabled\":true,"
     "\"template_hashes\":{\"alpaca\":\"11\",\"chatml\":\"22\"},\"timestamp\":\"t\"}",
     "{\"active_model_hash\":\"1\",\"binary_hash\":\"2\",\"grpc_binary_hash\":\"3\","
     "\"hypervisor_active\":true,\"image_bridge_hash\":\"4\",\"model_hashes\":{"
     "\"\\u003ca\\u0026b\\u003e\":\"\\u2028\"},\"nonce\":\"n\",\"python_hash\":\"5\","
     "\"rdma_disabled\":false,\"runtime_hash\":\"6\",\"secure_boot_enabled\":false,"
     "\"sip_enabled\":true,\"template_hashes\":{\"alpaca\":\"11\",\"chatml\":\"22\"},"
     "\"timestamp\":\"t\"}"},
    {"escapes",
     {.nonce = STR("\"\\/\b\f\n\r\t\x01\x7F\xC3\xA9\xF0\x9F\x98\x80"),
      .timestamp = STR("\xE2\x80\xA9"),
      .hypervisor_active = UNSET,
      .rdma_disabled = UNSET,
      .sip_enabled = UNSET,
      .secure_boot_enabled = UNSET,
      .template_hashes = {prefixes, 3}},
     "{\"nonce\":\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\x7F\xC3\xA9\xF0\x9F\x98\x80\","
     "\"template_hashes\":{\"a\":\"1\",\"ab\":\"2\",\"b\":\"3\"},\"timestamp\":\"\xE2\x80\xA9\"}",
     "{\"nonce\":\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\x7F\xC3\xA9\xF0\x9F\x98\x80\","
     "\"template_hashes\":{\"a\":\"1\",\"ab\":\"2\",\"b\":\"3\"},\"timestamp\":\"\\u2029\"}"},
};

static void assert_forms(const struct status_input *in, const char *text, const char *go_text,
                         const char *what)
{
    struct buf out, go;

    buf_init(&out, OUT_BYTES);
    buf_init(&go, OUT_BYTES);
    assert_int_equal(status_canonical(in, &out), 0);
    assert_int_equal(status_go_form(buf_view(&out), &go), 0);
    if (!str_is(buf_view(&out), text) || !str_is(buf_view(&go), go_text))
        fail_msg("%s: %.*s %.*s", what, STR_ARG(buf_view(&out)), STR_ARG(buf_view(&go)));
    buf_free(&out);
    buf_free(&go);
}

static void the_canonical_bytes_are_exactly_these(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        const char *go = vectors[i].go ? vectors[i].go : vectors[i].rust;

        assert_forms(&vectors[i].in, vectors[i].rust, go, vectors[i].what);
    }
}

/* Only what the answer says itself is signed; the time is the challenge's. */
static void a_status_is_rebuilt_from_the_answer_and_the_challenges_time(void **state)
{
    struct msg_attestation_response answer = {
        .nonce = STR("n"),
        .signature = STR("not part of it"),
        .public_key = STR("not part of it"),
        .hypervisor_active = PROTO_TRI_UNSET,
        .rdma_disabled = PROTO_TRI_TRUE,
        .sip_enabled = PROTO_TRI_FALSE,
        .secure_boot_enabled = PROTO_TRI_UNSET,
        .binary_hash = STR("b"),
        .active_model_hash = STR("m"),
        .python_hash = STR("p"),
        .runtime_hash = STR("r"),
        .template_hashes = {two_templates, 2},
        .model_hashes = {prefixes, 1},
    };
    struct status_input in = status_of_response(&answer, STR("2026-11-23T20:51:07Z"));

    (void)state;
    assert_int_equal(status_map_bytes(&in), strlen("chatml22alpaca11b3"));
    in.runtime_hash = STR("r<");
    assert_forms(
        &in,
        "{\"active_model_hash\":\"m\",\"binary_hash\":\"b\",\"model_hashes\":{\"b\":\"3\"},"
        "\"nonce\":\"n\",\"python_hash\":\"p\",\"rdma_disabled\":true,"
        "\"runtime_hash\":\"r<\",\"sip_enabled\":false,\"template_hashes\":{\"alpaca\":"
        "\"11\",\"chatml\":\"22\"},\"timestamp\":\"2026-11-23T20:51:07Z\"}",
        "{\"active_model_hash\":\"m\",\"binary_hash\":\"b\",\"model_hashes\":{\"b\":\"3\"},"
        "\"nonce\":\"n\",\"python_hash\":\"p\",\"rdma_disabled\":true,"
        "\"runtime_hash\":\"r\\u003c\",\"sip_enabled\":false,\"template_hashes\":{\"alpaca\":"
        "\"11\",\"chatml\":\"22\"},\"timestamp\":\"2026-11-23T20:51:07Z\"}",
        "of an answer");
}

static void a_status_too_long_for_its_buffer_is_refused(void **state)
{
    struct buf out;

    (void)state;
    buf_init(&out, 20);
    assert_int_equal(status_canonical(&vectors[0].in, &out), ERR_LIMIT);
    buf_clear(&out);
    assert_int_equal(status_go_form(STR("0123456789<<"), &out), ERR_LIMIT);
    buf_clear(&out);
    assert_int_equal(status_go_form(STR("\xE2\x80\xA7\xE2\x80"), &out), 0);
    assert_true(str_is(buf_view(&out), "\xE2\x80\xA7\xE2\x80"));
    buf_free(&out);
}

/* L3: what is too many is known before any of it is looked at. */
static void maps_are_counted_before_they_are_looked_at(void **state)
{
    struct status_input in = {.model_hashes = {NULL, 600000}};
    struct proto_pair pairs[PROTO_LIST_MAX] = {{STR("k"), STR("")}};

    (void)state;
    assert_true(status_map_bytes(&in) == SIZE_MAX);
    in = (struct status_input){.template_hashes = {NULL, PROTO_LIST_MAX + 1}};
    assert_true(status_map_bytes(&in) == SIZE_MAX);
    in = (struct status_input){.template_hashes = {pairs, PROTO_LIST_MAX}};
    assert_int_equal(status_map_bytes(&in), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_canonical_bytes_are_exactly_these),
        cmocka_unit_test(a_status_is_rebuilt_from_the_answer_and_the_challenges_time),
        cmocka_unit_test(maps_are_counted_before_they_are_looked_at),
        cmocka_unit_test(a_status_too_long_for_its_buffer_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
