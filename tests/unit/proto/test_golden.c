/* SPDX-License-Identifier: Apache-2.0 */
/* Frames recorded between the existing coordinator and a provider, one a line: they decode to what
 * they say, and what is encoded from them is compact and decodes to the same again. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/provider_msg.h"
#include "proto/span.h"

enum { SCRATCH_BYTES = 8 << 20, OUT_BYTES = 1 << 20, FRAMES_MAX = 32 };

#define MODEL  "mlx-community/gemma-4-26b-a4b-it-8bit"
#define X25519 "j0DFrbaPJWJK5bIU6nZ6bslNgp09e14a0bpvPiE4KF8="

struct recording {
    struct proto_scratch scratch;
    struct buf text;
    struct str frames[FRAMES_MAX];
    size_t n_frames;
};

static void load(struct recording *r, const char *path)
{
    FILE *f = fopen(path, "r");
    char piece[4096];
    const char *line, *end;
    size_t n;

    assert_non_null(f);
    buf_init(&r->text, OUT_BYTES);
    while ((n = fread(piece, 1, sizeof piece, f)) > 0)
        assert_int_equal(buf_append(&r->text, piece, n), 0);
    assert_int_equal(fclose(f), 0);
    line = buf_view(&r->text).p;
    for (size_t left = r->text.len; (end = memchr(line, '\n', left)); line = end + 1) {
        assert_true(r->n_frames < FRAMES_MAX);
        r->frames[r->n_frames++] = (struct str){line, (size_t)(end - line)};
        left -= (size_t)(end - line) + 1;
    }
}

static int up_from(void **state, const char *path)
{
    struct recording *r = calloc(1, sizeof *r);

    *state = r;
    load(r, path);
    return proto_scratch_init(&r->scratch, SCRATCH_BYTES);
}

static int provider_up(void **state)
{
    return up_from(state, TEST_SOURCE_DIR "/tests/unit/proto/golden/from_provider.txt");
}

static int coordinator_up(void **state)
{
    return up_from(state, TEST_SOURCE_DIR "/tests/unit/proto/golden/from_coordinator.txt");
}

static int down(void **state)
{
    struct recording *r = *state;

    proto_scratch_free(&r->scratch);
    buf_free(&r->text);
    free(r);
    return 0;
}

static void decode(struct recording *r, size_t nth, struct provider_msg *ret_msg)
{
    struct err e = {0};

    assert_true(nth < r->n_frames);
    if (provider_msg_decode(&r->scratch, r->frames[nth], ret_msg, &e) < 0)
        fail_msg("frame %zu: %s", nth, e.text);
}

/* Outside of strings no space; a RAW field is exempt, it is what somebody else wrote. */
static void assert_compact(struct str json)
{
    bool in_string = false;

    for (size_t i = 0; i < json.n; i++) {
        if (in_string && json.p[i] == '\\')
            i++;
        else if (json.p[i] == '"')
            in_string = !in_string;
        else if (!in_string)
            assert_null(memchr(" \t\r\n", json.p[i], 4));
    }
    assert_false(in_string);
}

static void every_frame_encodes_compactly_and_to_the_same_again(void **state)
{
    struct recording *r = *state;
    struct buf first, second;

    buf_init(&first, OUT_BYTES);
    buf_init(&second, OUT_BYTES);
    for (size_t i = 0; i < r->n_frames; i++) {
        struct provider_msg m;
        enum msg_type type;

        decode(r, i, &m);
        type = m.type;
        assert_int_not_equal(type, MSG_UNKNOWN);
        buf_clear(&first);
        buf_clear(&second);
        assert_int_equal(provider_msg_encode(&m, &first), 0);
        assert_compact(buf_view(&first));
        assert_int_equal(provider_msg_decode(&r->scratch, buf_view(&first), &m, NULL), 0);
        assert_int_equal(m.type, type);
        assert_int_equal(provider_msg_encode(&m, &second), 0);
        assert_true(str_eq(buf_view(&first), buf_view(&second)));
    }
    buf_free(&first);
    buf_free(&second);
}

static void a_recorded_register_says_what_the_machine_is(void **state)
{
    struct provider_msg m;
    const struct msg_register *reg = &m.reg;

    decode(*state, 0, &m);
    assert_int_equal(m.type, MSG_REGISTER);
    assert_true(str_is(reg->hardware.chip_name, "Apple M4 Max"));
    assert_int_equal(reg->hardware.memory_gb, 128);
    assert_true(fabs(reg->hardware.memory_available_gb - 124) < 1e-9);
    assert_int_equal(reg->hardware.cpu_cores.performance, 12);
    assert_int_equal(reg->n_models, 1);
    assert_true(str_is(reg->models[0].id, MODEL));
    assert_true(str_is(reg->models[0].quantization, "8bit"));
    assert_int_equal(reg->models[0].context_length, PROTO_UNSET);
    assert_true(str_is(reg->backend, "inprocess-mlx"));
    assert_true(str_is(reg->public_key, X25519));
    assert_true(reg->encrypted_response_chunks);
    assert_true(reg->privacy_capabilities.hypervisor_active);
    assert_null(reg->attestation.p);
}

/* The second recording is of a provider that attests itself. */
static void a_recorded_attestation_is_the_bytes_that_came(void **state)
{
    struct recording *r = *state;
    struct provider_msg m;
    struct str signature;

    decode(r, 13, &m);
    assert_int_equal(m.type, MSG_REGISTER);
    assert_true(str_starts(m.reg.attestation, STR("{\"attestation\":{\"authenticatedRoot")));
    assert_true(m.reg.attestation.p > r->frames[13].p &&
                m.reg.attestation.p < r->frames[13].p + r->frames[13].n);
    assert_non_null(memmem(m.reg.attestation.p, m.reg.attestation.n, "IQOs\\/X+", 8));
    assert_int_equal(span_get_unique(m.reg.attestation, "signature", &signature), 0);
    assert_true(str_starts(signature, STR("\"MEUCIQDH4+od")));
}

static void a_recorded_heartbeat_says_how_busy_it_is(void **state)
{
    struct provider_msg m;

    decode(*state, 1, &m);
    assert_int_equal(m.type, MSG_HEARTBEAT);
    assert_null(m.heartbeat.active_model.p);
    assert_int_equal(m.heartbeat.warm_models.n, 1);
    assert_true(str_is(m.heartbeat.warm_models.items[0], MODEL));
    assert_true(str_is(m.heartbeat.system_metrics.thermal_state, "nominal"));
    assert_true(m.heartbeat.has_backend_capacity);
    assert_int_equal(m.heartbeat.backend_capacity.n_slots, 1);
    assert_true(str_is(m.heartbeat.backend_capacity.slots[0].state, "running"));
    assert_true(fabs(m.heartbeat.backend_capacity.total_memory_gb - 128) < 1e-9);
    assert_int_equal(m.heartbeat.backend_capacity.max_running, PROTO_UNSET);
    assert_int_equal(m.heartbeat.stats.forward_passes, PROTO_UNSET);
}

static void recorded_answers_carry_their_request_and_their_envelope(void **state)
{
    struct provider_msg m;

    decode(*state, 3, &m);
    assert_int_equal(m.type, MSG_INFERENCE_ACCEPTED);
    assert_true(str_is(m.accepted.request_id, "80a4685a-99bf-4c99-8d06-0447d81a92fd"));
    assert_int_equal(m.accepted.prompt_tokens, PROTO_UNSET);
    decode(*state, 4, &m);
    assert_int_equal(m.type, MSG_INFERENCE_RESPONSE_CHUNK);
    assert_true(m.chunk.has_encrypted_data);
    assert_true(str_is(m.chunk.encrypted_data.ephemeral_public_key, X25519));
    assert_true(str_starts(m.chunk.encrypted_data.ciphertext, STR("S+8y8HAuQBHu")));
    decode(*state, 5, &m);
    assert_int_equal(m.type, MSG_INFERENCE_COMPLETE);
    assert_int_equal(m.complete.usage.prompt_tokens, 5);
    assert_int_equal(m.complete.usage.completion_tokens, 3);
    assert_true(str_is(m.complete.se_signature, "c2ln"));
    decode(*state, 15, &m);
    assert_int_equal(m.type, MSG_ATTESTATION_RESPONSE);
    assert_int_equal(m.attestation.secure_boot_enabled, PROTO_TRI_TRUE);
    assert_true(str_starts(m.attestation.status_signature, STR("MEUCIF30")));
}

static void a_recorded_coordinator_is_understood(void **state)
{
    struct provider_msg m;

    decode(*state, 0, &m);
    assert_int_equal(m.type, MSG_ATTESTATION_CHALLENGE);
    assert_true(str_is(m.challenge.nonce, "fpadX14/42+iBckN3sZbOSH9xyuGPU4CF2Y+toB7k7U="));
    assert_true(str_is(m.challenge.timestamp, "2026-11-23T20:51:07Z"));
    decode(*state, 1, &m);
    assert_int_equal(m.type, MSG_INFERENCE_REQUEST);
    assert_true(m.request.has_encrypted_body);
    assert_true(str_is(m.request.encrypted_body.ephemeral_public_key,
                       "dEyC9JgZLXM63WMFuAnrtSX4Q2wrU9Z5OJNFaxaKFgs="));
    decode(*state, 2, &m);
    assert_int_equal(m.type, MSG_CANCEL);
    assert_true(str_is(m.cancel.request_id, "80a4685a-99bf-4c99-8d06-0447d81a92fd"));
}

/* An old peer's own order of keys: what it sends small we send to the byte. */
static void what_the_existing_coordinator_sends_in_our_order_is_reproduced(void **state)
{
    static const size_t frames[] = {0, 2}; /* a challenge, a cancel */
    struct recording *r = *state;
    struct buf out;

    buf_init(&out, OUT_BYTES);
    for (size_t i = 0; i < 2; i++) {
        struct provider_msg m;

        decode(r, frames[i], &m);
        buf_clear(&out);
        assert_int_equal(provider_msg_encode(&m, &out), 0);
        assert_true(str_eq(buf_view(&out), r->frames[frames[i]]));
    }
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_frame_encodes_compactly_and_to_the_same_again,
                                        provider_up, down),
        cmocka_unit_test_setup_teardown(every_frame_encodes_compactly_and_to_the_same_again,
                                        coordinator_up, down),
        cmocka_unit_test_setup_teardown(a_recorded_register_says_what_the_machine_is, provider_up,
                                        down),
        cmocka_unit_test_setup_teardown(a_recorded_attestation_is_the_bytes_that_came, provider_up,
                                        down),
        cmocka_unit_test_setup_teardown(a_recorded_heartbeat_says_how_busy_it_is, provider_up,
                                        down),
        cmocka_unit_test_setup_teardown(recorded_answers_carry_their_request_and_their_envelope,
                                        provider_up, down),
        cmocka_unit_test_setup_teardown(a_recorded_coordinator_is_understood, coordinator_up, down),
        cmocka_unit_test_setup_teardown(
            what_the_existing_coordinator_sends_in_our_order_is_reproduced, coordinator_up, down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
