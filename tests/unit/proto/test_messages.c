/* SPDX-License-Identifier: Apache-2.0 */
/* Every message of the provider link, there and back, and what a frame may not look like. A case is
 * the frame's exact text: what decodes from it must encode to the same bytes. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/sealed_msg.h"
#include "proto/provider_msg.h"

enum { SCRATCH_BYTES = 8 << 20, OUT_BYTES = 1 << 20 };

#define K32 "j0DFrbaPJWJK5bIU6nZ6bslNgp09e14a0bpvPiE4KF8="

/* `least`: the message as an old peer may send it, optional fields left out. */
static const struct {
    enum msg_type type;
    const char *full, *least;
} messages[] = {
    {MSG_REGISTER,
     "{\"type\":\"register\",\"hardware\":{\"machine_model\":\"Mac16,5\",\"chip_name\":\"M4\","
     "\"chip_family\":\"M4\",\"chip_tier\":\"Max\",\"memory_gb\":128,\"memory_available_gb\":124.5,"
     "\"cpu_cores\":{\"total\":16,\"performance\":12,\"efficiency\":4},\"gpu_cores\":40,"
     "\"memory_bandwidth_gbs\":546},\"models\":[{\"id\":\"m\",\"size_bytes\":9007199254740993,"
     "\"model_type\":\"chat\",\"quantization\":null,\"weight_hash\":\"ab\",\"context_length\":8192,"
     "\"numerics\":\"invariant\",\"template_overhead_tokens\":40},{\"id\":\"n\",\"size_bytes\":1,"
     "\"model_type\":null,\"quantization\":\"8bit\"}],\"backend\":\"inprocess-llama\","
     "\"version\":\"1.2.3\",\"public_key\":\"" K32 "\",\"encrypted_response_chunks\":true,"
     "\"wallet_address\":\"0xab\",\"attestation\":{ \"b\" : 1,\"a\":[\"\\u0041\"]},"
     "\"prefill_tps\":100.25,\"decode_tps\":20,\"auth_token\":\"t\",\"python_hash\":\"p\","
     "\"runtime_hash\":\"r\",\"template_hashes\":{\"a\":\"1\",\"b\":\"2\"},"
     "\"privacy_capabilities\":{\"text_backend_inprocess\":true,\"text_proxy_disabled\":true,"
     "\"python_runtime_locked\":false,\"dangerous_modules_blocked\":false,\"sip_enabled\":false,"
     "\"anti_debug_enabled\":true,\"core_dumps_disabled\":true,\"env_scrubbed\":false,"
     "\"hypervisor_active\":true}}",
     "{\"type\":\"register\",\"hardware\":{\"machine_model\":\"\",\"chip_name\":\"\","
     "\"chip_family\":\"\",\"chip_tier\":\"\",\"memory_gb\":0,\"memory_available_gb\":0,"
     "\"cpu_cores\":{\"total\":0,\"performance\":0,\"efficiency\":0},\"gpu_cores\":0,"
     "\"memory_bandwidth_gbs\":0},\"models\":[],\"backend\":\"\","
     "\"encrypted_response_chunks\":false}"},
    {MSG_HEARTBEAT,
     "{\"type\":\"heartbeat\",\"status\":\"serving\",\"active_model\":\"m\",\"stats\":{"
     "\"requests_served\":5,\"tokens_generated\":600,\"forward_passes\":7},\"warm_models\":[\"m\","
     "\"\"],\"system_metrics\":{\"memory_pressure\":0.25,\"cpu_usage\":1,"
     "\"thermal_state\":\"fair\"},\"backend_capacity\":{\"slots\":[{\"model\":\"m\","
     "\"state\":\"running\",\"num_running\":1,\"num_waiting\":2,\"active_tokens\":3,"
     "\"max_tokens_potential\":4}],\"gpu_memory_active_gb\":0.1,\"gpu_memory_peak_gb\":0.2,"
     "\"gpu_memory_cache_gb\":0.3,\"total_memory_gb\":64,\"max_running\":16}}",
     "{\"type\":\"heartbeat\",\"status\":\"idle\",\"active_model\":null,\"stats\":{"
     "\"requests_served\":0,\"tokens_generated\":0},\"system_metrics\":{\"memory_pressure\":0,"
     "\"cpu_usage\":0,\"thermal_state\":\"nominal\"}}"},
    {MSG_INFERENCE_ACCEPTED,
     "{\"type\":\"inference_accepted\",\"request_id\":\"r\",\"prompt_tokens\":31}",
     "{\"type\":\"inference_accepted\",\"request_id\":\"r\"}"},
    {MSG_INFERENCE_RESPONSE_CHUNK,
     "{\"type\":\"inference_response_chunk\",\"request_id\":\"r\",\"encrypted_data\":{"
     "\"ephemeral_public_key\":\"" K32 "\",\"ciphertext\":\"AAAA\"},\"tokens\":0}",
     "{\"type\":\"inference_response_chunk\",\"request_id\":\"r\",\"data\":\"plain\"}"},
    {MSG_INFERENCE_COMPLETE,
     "{\"type\":\"inference_complete\",\"request_id\":\"r\",\"usage\":{\"prompt_tokens\":5,"
     "\"completion_tokens\":3},\"se_signature\":\"c2ln\",\"response_hash\":\"00\"}",
     "{\"type\":\"inference_complete\",\"request_id\":\"r\",\"usage\":{\"prompt_tokens\":0,"
     "\"completion_tokens\":0}}"},
    {MSG_INFERENCE_ERROR,
     "{\"type\":\"inference_error\",\"request_id\":\"r\",\"error\":\"too \\\"long\\\"\\n\","
     "\"status_code\":400,\"code\":\"context_length_exceeded\",\"param\":\"messages\","
     "\"prompt_tokens\":9000,\"context_tokens\":8192}",
     "{\"type\":\"inference_error\",\"request_id\":\"r\",\"error\":\"\",\"status_code\":0}"},
    {MSG_ATTESTATION_RESPONSE,
     "{\"type\":\"attestation_response\",\"nonce\":\"n\",\"signature\":\"s\","
     "\"status_signature\":\"t\",\"public_key\":\"" K32 "\",\"hypervisor_active\":false,"
     "\"rdma_disabled\":true,\"sip_enabled\":false,\"secure_boot_enabled\":true,"
     "\"binary_hash\":\"a\",\"active_model_hash\":\"b\",\"python_hash\":\"c\","
     "\"runtime_hash\":\"d\",\"template_hashes\":{\"x\":\"1\"},\"model_hashes\":{\"\xC3\xA9\":"
     "\"2\"}}",
     "{\"type\":\"attestation_response\",\"nonce\":\"n\",\"signature\":\"\",\"public_key\":\"\"}"},
    {MSG_LOAD_MODEL_STATUS,
     "{\"type\":\"load_model_status\",\"model_id\":\"m\",\"status\":\"failed\",\"error\":\"full\"}",
     "{\"type\":\"load_model_status\",\"model_id\":\"m\",\"status\":\"started\"}"},
    {MSG_INFERENCE_REQUEST,
     "{\"type\":\"inference_request\",\"request_id\":\"r\",\"encrypted_body\":{"
     "\"ephemeral_public_key\":\"" K32 "\",\"ciphertext\":\"AAAA\"}}",
     "{\"type\":\"inference_request\",\"request_id\":\"r\"}"},
    {MSG_CANCEL, "{\"type\":\"cancel\",\"request_id\":\"r\"}", NULL},
    {MSG_ATTESTATION_CHALLENGE,
     "{\"type\":\"attestation_challenge\",\"nonce\":\"n\",\"timestamp\":\"2026-11-23T20:51:07Z\"}",
     NULL},
    {MSG_RUNTIME_STATUS,
     "{\"type\":\"runtime_status\",\"verified\":true,\"mismatches\":[{\"component\":\"python\","
     "\"expected\":\"a\",\"got\":\"b\"},{\"component\":\"\",\"expected\":\"\",\"got\":\"\"}]}",
     "{\"type\":\"runtime_status\",\"verified\":false}"},
    {MSG_LOAD_MODEL, "{\"type\":\"load_model\",\"model_id\":\"m\"}", NULL},
};

enum { N_MESSAGES = sizeof messages / sizeof messages[0] };

static int up(void **state)
{
    static struct proto_scratch scratch;

    *state = &scratch;
    return proto_scratch_init(&scratch, SCRATCH_BYTES);
}

static int down(void **state)
{
    proto_scratch_free(*state);
    return 0;
}

static void assert_encodes_to(const struct provider_msg *m, const char *text)
{
    struct buf out;

    buf_init(&out, OUT_BYTES);
    assert_int_equal(provider_msg_encode(m, &out), 0);
    assert_int_equal(buf_append(&out, "", 1), 0);
    assert_string_equal(buf_view(&out).p, text);
    buf_free(&out);
}

static void every_message_comes_back_as_it_went(void **state)
{
    int seen[MSG_COUNT] = {0};

    for (size_t i = 0; i < N_MESSAGES; i++) {
        const char *texts[] = {messages[i].full, messages[i].least};

        for (int t = 0; t < 2 && texts[t]; t++) {
            struct provider_msg m;
            struct err e = {0};

            if (provider_msg_decode(*state, str_from(texts[t]), &m, &e) < 0)
                fail_msg("%s: %s", texts[t], e.text);
            assert_int_equal(m.type, messages[i].type);
            assert_true(str_is(m.type_name, msg_type_name(m.type)));
            assert_encodes_to(&m, texts[t]);
        }
        seen[messages[i].type]++;
    }
    for (int type = MSG_UNKNOWN + 1; type < MSG_COUNT; type++)
        assert_int_equal(seen[type], 1);
    assert_null(msg_type_name(MSG_UNKNOWN));
}

/* What codes are made for must not depend on a table that could be wrong at both ends. */
static void the_fields_of_a_full_register_are_where_they_belong(void **state)
{
    struct provider_msg m;

    assert_int_equal(provider_msg_decode(*state, str_from(messages[0].full), &m, NULL), 0);
    assert_true(str_is(m.reg.hardware.machine_model, "Mac16,5"));
    assert_int_equal(m.reg.hardware.cpu_cores.efficiency, 4);
    assert_true(fabs(m.reg.hardware.memory_available_gb - 124.5) < 1e-9);
    assert_int_equal(m.reg.n_models, 2);
    assert_int_equal(m.reg.models[0].size_bytes, INT64_C(9007199254740993));
    assert_null(m.reg.models[0].quantization.p);
    assert_int_equal(m.reg.models[1].context_length, PROTO_UNSET);
    assert_true(str_is(m.reg.attestation, "{ \"b\" : 1,\"a\":[\"\\u0041\"]}"));
    assert_int_equal(m.reg.template_hashes.n, 2);
    assert_true(str_is(m.reg.template_hashes.items[1].key, "b"));
    assert_true(m.reg.has_privacy_capabilities);
    assert_true(m.reg.privacy_capabilities.core_dumps_disabled);
    assert_false(m.reg.privacy_capabilities.sip_enabled);
}

/* It is there and does not open, which costs the request and not the link. */
static void an_envelope_that_lacks_its_parts_is_an_envelope(void **state)
{
    static const char *const frames[] = {
        "{\"type\":\"inference_request\",\"request_id\":\"r\",\"encrypted_body\":{}}",
        "{\"type\":\"inference_request\",\"request_id\":\"r\",\"encrypted_body\":{"
        "\"ephemeral_public_key\":null}}"};
    struct provider_msg m;

    for (size_t i = 0; i < sizeof frames / sizeof frames[0]; i++) {
        assert_int_equal(provider_msg_decode(*state, str_from(frames[i]), &m, NULL), 0);
        assert_true(m.request.has_encrypted_body);
        assert_int_equal(m.request.encrypted_body.ephemeral_public_key.n, 0);
        assert_int_equal(m.request.encrypted_body.ciphertext.n, 0);
    }
}

static void what_is_absent_is_told_from_what_is_zero(void **state)
{
    struct provider_msg m;

    assert_int_equal(provider_msg_decode(*state, str_from(messages[3].full), &m, NULL), 0);
    assert_int_equal(m.chunk.tokens, 0);
    assert_true(m.chunk.has_encrypted_data);
    assert_null(m.chunk.data.p);
    assert_int_equal(provider_msg_decode(*state, str_from(messages[3].least), &m, NULL), 0);
    assert_int_equal(m.chunk.tokens, PROTO_UNSET);
    assert_false(m.chunk.has_encrypted_data);
    assert_int_equal(provider_msg_decode(*state, str_from(messages[6].full), &m, NULL), 0);
    assert_int_equal(m.attestation.sip_enabled, PROTO_TRI_FALSE);
    assert_int_equal(provider_msg_decode(*state, str_from(messages[6].least), &m, NULL), 0);
    assert_int_equal(m.attestation.sip_enabled, PROTO_TRI_UNSET);
}

/* --- frames that are not as they should be --- */

static const struct {
    const char *frame;
    int code;
    const char *says; /* part of the error's text; NULL: whatever */
} bad_frames[] = {
    /* not JSON, not an object */
    {"", ERR_PARSE, "nothing there"},
    {" ", ERR_PARSE, NULL},
    {"[]", ERR_PARSE, "object"},
    {"null", ERR_PARSE, "object"},
    {"\"cancel\"", ERR_PARSE, "object"},
    {"{\"type\":\"cancel\",\"request_id\":\"r\"", ERR_PARSE, NULL},
    {"{\"type\":\"cancel\",\"request_id\":\"r\"}}", ERR_PARSE, NULL},
    {"{\"type\":\"cancel\",\"request_id\":\"r\",}", ERR_PARSE, NULL},
    {"{'type':'cancel'}", ERR_PARSE, NULL},
    {"{\"type\":\"cancel\",\"request_id\":\"\x01\"}", ERR_PARSE, NULL},
    /* invalid UTF-8: a lone byte, an overlong slash, a surrogate, beyond U+10FFFF */
    {"{\"type\":\"cancel\",\"request_id\":\"\xFF\"}", ERR_PARSE, NULL},
    {"{\"type\":\"cancel\",\"request_id\":\"\xC0\xAF\"}", ERR_PARSE, NULL},
    {"{\"type\":\"cancel\",\"request_id\":\"\xED\xA0\x80\"}", ERR_PARSE, NULL},
    {"{\"type\":\"cancel\",\"request_id\":\"\xF4\x90\x80\x80\"}", ERR_PARSE, NULL},
    {"{\"type\":\"cancel\",\"request_id\":\"\\ud800\"}", ERR_PARSE, NULL},
    /* required fields */
    {"{\"type\":\"cancel\"}", ERR_MISSING, "request_id"},
    {"{\"type\":\"cancel\",\"request_id\":null}", ERR_MISSING, "request_id"},
    {"{\"type\":\"attestation_response\",\"signature\":\"s\"}", ERR_MISSING, "nonce"},
    {"{\"type\":\"attestation_challenge\",\"nonce\":\"n\"}", ERR_MISSING, "timestamp"},
    {"{\"type\":\"load_model\"}", ERR_MISSING, "model_id"},
    {"{\"type\":\"register\",\"models\":[{\"size_bytes\":1}]}", ERR_MISSING, "id"},
    /* types, at every depth */
    {"{\"type\":5}", ERR_TYPE, "type"},
    {"{\"type\":\"cancel\",\"request_id\":7}", ERR_TYPE, "request_id"},
    {"{\"type\":\"cancel\",\"request_id\":[\"r\"]}", ERR_TYPE, "request_id"},
    {"{\"type\":\"register\",\"hardware\":[]}", ERR_TYPE, "hardware"},
    {"{\"type\":\"register\",\"hardware\":{\"memory_gb\":\"128\"}}", ERR_TYPE, "memory_gb"},
    {"{\"type\":\"register\",\"hardware\":{\"cpu_cores\":16}}", ERR_TYPE, "cpu_cores"},
    {"{\"type\":\"register\",\"models\":{}}", ERR_TYPE, "models"},
    {"{\"type\":\"register\",\"models\":[\"m\"]}", ERR_TYPE, "models"},
    {"{\"type\":\"register\",\"encrypted_response_chunks\":1}", ERR_TYPE, "encrypted"},
    {"{\"type\":\"register\",\"template_hashes\":{\"a\":1}}", ERR_TYPE, "template_hashes"},
    {"{\"type\":\"register\",\"template_hashes\":[]}", ERR_TYPE, "template_hashes"},
    {"{\"type\":\"register\",\"prefill_tps\":\"1\"}", ERR_TYPE, "prefill_tps"},
    {"{\"type\":\"register\",\"privacy_capabilities\":{\"env_scrubbed\":\"yes\"}}", ERR_TYPE,
     "env_scrubbed"},
    {"{\"type\":\"heartbeat\",\"warm_models\":[1]}", ERR_TYPE, "warm_models"},
    {"{\"type\":\"heartbeat\",\"warm_models\":\"m\"}", ERR_TYPE, "warm_models"},
    {"{\"type\":\"attestation_response\",\"nonce\":\"n\",\"sip_enabled\":0}", ERR_TYPE, "sip"},
    {"{\"type\":\"inference_response_chunk\",\"request_id\":\"r\",\"encrypted_data\":\"x\"}",
     ERR_TYPE, "encrypted_data"},
    /* numbers */
    {"{\"type\":\"inference_accepted\",\"request_id\":\"r\",\"prompt_tokens\":1.5}", ERR_TYPE,
     "prompt_tokens"},
    {"{\"type\":\"inference_accepted\",\"request_id\":\"r\",\"prompt_tokens\":1e3}", ERR_TYPE,
     "prompt_tokens"},
    {"{\"type\":\"inference_accepted\",\"request_id\":\"r\",\"prompt_tokens\":"
     "9223372036854775808}",
     ERR_TYPE, "prompt_tokens"},
    {"{\"type\":\"inference_accepted\",\"request_id\":\"r\",\"prompt_tokens\":"
     "-9223372036854775809}",
     ERR_TYPE, "prompt_tokens"},
    {"{\"type\":\"inference_accepted\",\"request_id\":\"r\",\"prompt_tokens\":1e999}", ERR_PARSE,
     NULL},
    {"{\"type\":\"heartbeat\",\"system_metrics\":{\"cpu_usage\":NaN}}", ERR_PARSE, NULL},
    /* what is verified by its bytes stands once, however it is spelled */
    {"{\"type\":\"register\",\"attestation\":{},\"attestation\":{}}", ERR_PROTOCOL, "twice"},
    {"{\"type\":\"register\",\"attestation\":{},\"attest\\u0061tion\":{}}", ERR_PROTOCOL, "twice"},
};

static void a_bad_frame_is_refused_and_leaves_the_message_alone(void **state)
{
    for (size_t i = 0; i < sizeof bad_frames / sizeof bad_frames[0]; i++) {
        struct provider_msg m;
        struct err e = {0};
        int rc;

        memset(&m, 0x5A, sizeof m);
        rc = provider_msg_decode(*state, str_from(bad_frames[i].frame), &m, &e);
        if (rc != bad_frames[i].code || e.code != rc)
            fail_msg("%s: %d %s", bad_frames[i].frame, rc, e.text);
        if (bad_frames[i].says && !strstr(e.text, bad_frames[i].says))
            fail_msg("%s: \"%s\" does not name %s", bad_frames[i].frame, e.text,
                     bad_frames[i].says);
        for (size_t b = 0; b < sizeof m; b++)
            assert_int_equal(((const uint8_t *)&m)[b], 0x5A);
    }
}

/* L3: a list of a million entries is refused before memory is taken for it, a frame of a million
 * values before a tree is built. `unit` is repeated `times` times. */
static const struct {
    const char *before, *unit;
    int times;
    const char *after;
    int code;
    const char *says;
} crowds[] = {
    {"{\"type\":\"attestation_response\",\"nonce\":\"n\",\"model_hashes\":{\"k\":\"v\"",
     ",\"k\":\"v\"", PROTO_LIST_MAX - 1, "}}", 0, NULL},
    {"{\"type\":\"attestation_response\",\"nonce\":\"n\",\"model_hashes\":{\"k\":\"v\"",
     ",\"k\":\"v\"", PROTO_LIST_MAX, "}}", ERR_LIMIT, "model_hashes has more than 1024"},
    {"{\"type\":\"register\",\"template_hashes\":{\"k\":\"v\"", ",\"k\":\"v\"", PROTO_LIST_MAX,
     "}}", ERR_LIMIT, "template_hashes has more than 1024"},
    {"{\"type\":\"heartbeat\",\"warm_models\":[\"m\"", ",\"m\"", PROTO_LIST_MAX, "]}", ERR_LIMIT,
     "warm_models has more than 1024"},
    {"{\"type\":\"heartbeat\",\"warm_models\":[\"m\"", ",\"m\"", PROTO_LIST_MAX - 1, "]}", 0, NULL},
    {"{\"type\":\"register\",\"models\":[{\"id\":\"m\"}", ",{\"id\":\"m\"}", PROTO_LIST_MAX, "]}",
     ERR_LIMIT, "models has more than 1024"},
    {"{\"type\":\"register\",\"models\":[{\"id\":\"m\"}", ",{\"id\":\"m\"}", PROTO_LIST_MAX - 1,
     "]}", 0, NULL},
    {"{\"type\":\"register\",\"x\":[0", ",1", 1000000, "]}", ERR_LIMIT, "more than 65536 values"},
    {"{\"type\":\"register\"", ",\"x\":0", 1000000, "}", ERR_LIMIT, "more than 65536 values"},
    {"{\"type\":\"register\",\"x\":", "[", 1000000, "}", ERR_LIMIT, "more than 65536 values"},
    {"{\"type\":\"register\",\"x\":", "{\"a\":", 100000, "", ERR_LIMIT, "more than 65536 values"},
    {"{\"type\":\"cancel\",\"request_id\":\"", "x", 5000000, "\"}", 0, NULL},
};

static void what_is_too_many_is_refused_by_its_count(void **state)
{
    for (size_t i = 0; i < sizeof crowds / sizeof crowds[0]; i++) {
        struct provider_msg m;
        struct err e = {0};
        struct buf frame;
        int rc;

        buf_init(&frame, 16 << 20);
        assert_int_equal(buf_append_str(&frame, str_from(crowds[i].before)), 0);
        for (int k = 0; k < crowds[i].times; k++)
            assert_int_equal(buf_append_str(&frame, str_from(crowds[i].unit)), 0);
        assert_int_equal(buf_append_str(&frame, str_from(crowds[i].after)), 0);
        rc = provider_msg_decode(*state, buf_view(&frame), &m, &e);
        if (rc != crowds[i].code || (crowds[i].says && !strstr(e.text, crowds[i].says)))
            fail_msg("%zu: %d %s", i, rc, e.text);
        buf_free(&frame);
    }
}

static const struct {
    const char *frame;
    enum msg_type type;
    const char *becomes; /* when encoded again; NULL: nothing, the type is unknown */
} odd_frames[] = {
    {"{}", MSG_UNKNOWN, NULL},
    {"{\"type\":null}", MSG_UNKNOWN, NULL},
    {"{\"type\":\"Cancel\",\"request_id\":7}", MSG_UNKNOWN, NULL},
    {"{\"type\":\"cancel \",\"request_id\":\"r\"}", MSG_UNKNOWN, NULL},
    {"{\"type\":\"prefill_hint\",\"depth\":[[1]]}", MSG_UNKNOWN, NULL},
    {"\n{ \"request_id\" : \"r\" ,\t\"type\" : \"cancel\" } ", MSG_CANCEL,
     "{\"type\":\"cancel\",\"request_id\":\"r\"}"},
    {"{\"type\":\"cancel\",\"request_id\":\"r\",\"why\":{\"x\":[1,2]}}", MSG_CANCEL,
     "{\"type\":\"cancel\",\"request_id\":\"r\"}"},
    {"{\"type\":\"cancel\",\"request_id\":\"\\u0000\\u00e9\\ud83d\\ude00\\/\"}", MSG_CANCEL,
     "{\"type\":\"cancel\",\"request_id\":\"\\u0000\xC3\xA9\xF0\x9F\x98\x80/\"}"},
    {"{\"type\":\"load_model\",\"model_id\":\"first\",\"model_id\":\"last\"}", MSG_LOAD_MODEL,
     "{\"type\":\"load_model\",\"model_id\":\"last\"}"},
    {"{\"type\":\"load_model\",\"model_id\":\"m\",\"type\":\"cancel\",\"request_id\":\"r\"}",
     MSG_CANCEL, "{\"type\":\"cancel\",\"request_id\":\"r\"}"},
    {"{\"type\":\"inference_accepted\",\"request_id\":\"r\",\"prompt_tokens\":null}",
     MSG_INFERENCE_ACCEPTED, "{\"type\":\"inference_accepted\",\"request_id\":\"r\"}"},
    {"{\"type\":\"inference_accepted\",\"request_id\":\"r\","
     "\"prompt_tokens\":9223372036854775807}",
     MSG_INFERENCE_ACCEPTED,
     "{\"type\":\"inference_accepted\",\"request_id\":\"r\","
     "\"prompt_tokens\":9223372036854775807}"},
    {"{\"type\":\"runtime_status\",\"verified\":true,\"mismatches\":null}", MSG_RUNTIME_STATUS,
     "{\"type\":\"runtime_status\",\"verified\":true}"},
};

static void what_is_unknown_is_ignored_and_the_rest_means_what_it_says(void **state)
{
    for (size_t i = 0; i < sizeof odd_frames / sizeof odd_frames[0]; i++) {
        struct provider_msg m;
        struct err e = {0};

        if (provider_msg_decode(*state, str_from(odd_frames[i].frame), &m, &e) < 0)
            fail_msg("%s: %s", odd_frames[i].frame, e.text);
        if (m.type != odd_frames[i].type)
            fail_msg("%s: type %d", odd_frames[i].frame, m.type);
        if (odd_frames[i].becomes)
            assert_encodes_to(&m, odd_frames[i].becomes);
    }
}

static void the_name_of_an_unknown_type_is_kept_for_counting(void **state)
{
    struct provider_msg m;

    assert_int_equal(provider_msg_decode(*state, STR("{\"type\":\"gossip\"}"), &m, NULL), 0);
    assert_true(str_is(m.type_name, "gossip"));
}

static void a_message_that_does_not_fit_its_buffer_leaves_nothing_behind(void **state)
{
    struct provider_msg m = {.type = MSG_CANCEL, .cancel = {STR("0123456789")}};
    struct buf out;

    (void)state;
    buf_init(&out, 40);
    assert_int_equal(buf_append_str(&out, STR("before")), 0);
    assert_int_equal(provider_msg_encode(&m, &out), ERR_LIMIT);
    assert_true(str_is(buf_view(&out), "before"));
    buf_free(&out);
}

static void the_hot_chunk_is_written_as_the_tables_write_it(void **state)
{
    static const int64_t tokens[] = {-1, 0, 7, 10, 1234567890123};
    const struct str id = STR("80a4685a-99bf-4c99-8d06-0447d81a92fd"), key = STR(K32);
    const struct str ciphertext = STR("me2bWiTSH2txeDfo");

    for (size_t i = 0; i < sizeof tokens / sizeof tokens[0]; i++) {
        struct provider_msg m = {
            .type = MSG_INFERENCE_RESPONSE_CHUNK,
            .chunk = {.request_id = id,
                      .has_encrypted_data = true,
                      .encrypted_data = {key, ciphertext},
                      .tokens = tokens[i] < 0 ? PROTO_UNSET : tokens[i]},
        };
        size_t n = msg_chunk_size(id, key, ciphertext.n, tokens[i]);
        char *text = malloc(n + 1); /* exact, so that a byte too many is caught */

        memcpy(msg_chunk_write(id, key, ciphertext.n, tokens[i], text), ciphertext.p, ciphertext.n);
        text[n] = 0;
        assert_encodes_to(&m, text);
        free(text);
    }
    (void)state;
}

#define CHUNK_OF(id, rest)                                        \
    "{\"type\":\"inference_response_chunk\",\"request_id\":\"" id \
    "\",\"encrypted_data\":{\"ephemeral_public_key\":\"" K32 "\",\"ciphertext\":\"" rest

/* A space behind a frame means nothing, but keeps the short way from taking it. */
static int decode_by_the_tables(struct proto_scratch *scratch, const char *frame,
                                struct provider_msg *ret)
{
    struct buf spaced;
    int rc;

    buf_init(&spaced, OUT_BYTES);
    assert_int_equal(buf_printf(&spaced, "%s ", frame), 0);
    rc = provider_msg_decode(scratch, buf_view(&spaced), ret, NULL);
    buf_free(&spaced);
    return rc;
}

static void the_hot_chunk_is_read_as_the_tables_read_it(void **state)
{
    static const struct {
        const char *frame;
        bool the_short_way;
    } cases[] = {
        {CHUNK_OF("r", "AAAA\"},\"tokens\":12}"), true},
        {CHUNK_OF("r", "AAAA\"},\"tokens\":0}"), true},
        {CHUNK_OF("r", "AAAA\"}}"), true},
        {CHUNK_OF("", "\"}}"), true},
        {CHUNK_OF("r", "AAAA\"},\"tokens\":999999999999999999}"), true},
        {CHUNK_OF("r", "AAAA\"},\"tokens\":9999999999999999999}"), false},
        {CHUNK_OF("r", "AAAA\"},\"tokens\":01}"), false},
        {CHUNK_OF("r", "AAAA\"},\"tokens\":-1}"), false},
        {CHUNK_OF("r", "AAAA\"},\"tokens\":1.5}"), false},
        {CHUNK_OF("r", "AAAA\"},\"tokens\":}"), false},
        {CHUNK_OF("r", "AAAA\"},\"tokens\":1,\"data\":\"x\"}"), false},
        {CHUNK_OF("r", "AAAA\"},\"data\":\"x\"}"), false},
        {CHUNK_OF("r", "AA\\/AA\"}}"), false},
        {CHUNK_OF("r", "AA\nAAAAAAAA\"}}"), false},
        {CHUNK_OF("r", "AAAAAAAAA\x01\"}}"), false},
        {CHUNK_OF("r\xC3\xA9", "AAAA\"}}"), false},
        {CHUNK_OF("r", "AAAA\"}"), false},
        {CHUNK_OF("r", "AAAA"), false},
        {"{\"type\":\"inference_response_chunk\",\"request_id\":\"r\"}", false},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct msg_inference_response_chunk chunk;
        struct provider_msg m, n;
        int rc = provider_msg_decode(*state, str_from(cases[i].frame), &m, NULL);

        assert_int_equal(msg_chunk_read(str_from(cases[i].frame), &chunk), cases[i].the_short_way);
        if (rc == 0) {
            struct buf out;

            buf_init(&out, OUT_BYTES);
            assert_int_equal(provider_msg_encode(&m, &out), 0);
            assert_int_equal(decode_by_the_tables(*state, cases[i].frame, &n), 0);
            assert_int_equal(buf_append(&out, "", 1), 0);
            assert_encodes_to(&n, buf_view(&out).p);
            buf_free(&out);
        } else {
            assert_true(decode_by_the_tables(*state, cases[i].frame, &n) < 0);
        }
    }
}

static void the_hot_request_is_written_as_the_tables_write_it(void **state)
{
    const struct str id = STR("0198c0de-0000-7000-8000-000000000000"),
                     key = STR("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
                     ciphertext = STR("c2VhbGVk");
    const struct provider_msg m = {.type = MSG_INFERENCE_REQUEST,
                                   .request = {.request_id = id,
                                               .has_encrypted_body = true,
                                               .encrypted_body = {key, ciphertext}}};
    size_t n = msg_request_size(id, key, ciphertext.n);
    char *text = malloc(n + 1); /* exact, so that a byte too many is caught */
    (void)state;

    memcpy(msg_request_write(id, key, ciphertext.n, text), ciphertext.p, ciphertext.n);
    text[n] = 0;
    assert_encodes_to(&m, text);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_message_comes_back_as_it_went, up, down),
        cmocka_unit_test_setup_teardown(the_fields_of_a_full_register_are_where_they_belong, up,
                                        down),
        cmocka_unit_test_setup_teardown(an_envelope_that_lacks_its_parts_is_an_envelope, up, down),
        cmocka_unit_test_setup_teardown(what_is_absent_is_told_from_what_is_zero, up, down),
        cmocka_unit_test_setup_teardown(a_bad_frame_is_refused_and_leaves_the_message_alone, up,
                                        down),
        cmocka_unit_test_setup_teardown(what_is_too_many_is_refused_by_its_count, up, down),
        cmocka_unit_test_setup_teardown(what_is_unknown_is_ignored_and_the_rest_means_what_it_says,
                                        up, down),
        cmocka_unit_test_setup_teardown(the_name_of_an_unknown_type_is_kept_for_counting, up, down),
        cmocka_unit_test(a_message_that_does_not_fit_its_buffer_leaves_nothing_behind),
        cmocka_unit_test(the_hot_request_is_written_as_the_tables_write_it),
        cmocka_unit_test(the_hot_chunk_is_written_as_the_tables_write_it),
        cmocka_unit_test_setup_teardown(the_hot_chunk_is_read_as_the_tables_read_it, up, down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
