/* SPDX-License-Identifier: Apache-2.0 */
/* The link to the coordinator in virtual time: registering, heartbeats, challenges, and coming back
 * after every way a connection can end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fake_world.h"
#include "proto/span.h"
#include "proto/status.h"

static void registers_with_its_model_and_a_key_bound_by_signature(void **state)
{
    struct fake_world *w = *state;
    const struct provider_msg *m = fake_coordinator_got(&w->coordinator, MSG_REGISTER, 0);
    struct str inner, signature, key;
    char quoted[64];

    assert_non_null(m);
    assert_int_equal(m->reg.n_models, 1);
    assert_true(str_is(m->reg.models[0].id, FAKE_MODEL));
    assert_true(str_is(m->reg.models[0].weight_hash, FAKE_WEIGHT_HASH));
    assert_int_equal(m->reg.models[0].context_length, 2048);
    assert_true(str_is(m->reg.models[0].numerics, "invariant"));
    assert_true(str_is(m->reg.backend, "inprocess-llama"));
    assert_true(m->reg.encrypted_response_chunks);
    assert_true(str_is(m->reg.public_key, box_pair_public_b64(w->pair)));
    assert_true(str_is(m->reg.hardware.machine_model, "Testbox"));

    assert_int_equal(span_get_unique(m->reg.attestation, "attestation", &inner), 0);
    assert_int_equal(span_get_unique(m->reg.attestation, "signature", &signature), 0);
    assert_int_equal(span_get_unique(inner, "encryptionPublicKey", &key), 0);
    (void)snprintf(quoted, sizeof quoted, "\"%s\"", box_pair_public_b64(w->pair));
    assert_true(str_is(key, quoted));
    signature = (struct str){signature.p + 1, signature.n - 2};
    assert_true(fake_verify(str_from(signer_public_b64(w->signer)), inner, signature));
}

static void claims_no_protection_that_linux_does_not_have(void **state)
{
    struct fake_world *w = *state;
    const struct provider_msg *m = fake_coordinator_got(&w->coordinator, MSG_REGISTER, 0);
    const struct msg_privacy *p = &m->reg.privacy_capabilities;

    assert_true(m->reg.has_privacy_capabilities);
    assert_true(p->text_backend_inprocess);
    assert_false(p->sip_enabled);
    assert_false(p->hypervisor_active);
    assert_false(p->python_runtime_locked);
    assert_false(p->dangerous_modules_blocked);
    /* this test process was not hardened, and the flag says so */
    assert_false(p->anti_debug_enabled);
}

static void the_first_heartbeat_follows_at_once_and_then_one_every_interval(void **state)
{
    struct fake_world *w = *state;

    assert_int_equal(fake_coordinator_count(&w->coordinator, MSG_HEARTBEAT), 1);
    fake_world_advance_ms(w, 20000);
    assert_int_equal(fake_coordinator_count(&w->coordinator, MSG_HEARTBEAT), 5);
}

static void a_heartbeat_carries_the_engines_counters(void **state)
{
    struct fake_world *w = *state;
    const struct msg_slot *slot;
    const struct provider_msg *m;

    w->engine.load = (struct load){.running = 2,
                                   .waiting = 1,
                                   .active_tokens = 77,
                                   .max_tokens_potential = 900,
                                   .forward_passes = 41};
    fake_world_advance_ms(w, 5000);
    m = fake_coordinator_got(&w->coordinator, MSG_HEARTBEAT, 1);
    assert_non_null(m);
    assert_true(str_is(m->heartbeat.status, "serving"));
    assert_true(str_is(m->heartbeat.active_model, FAKE_MODEL));
    assert_int_equal(m->heartbeat.stats.forward_passes, 41);
    assert_true(m->heartbeat.has_backend_capacity);
    assert_int_equal(m->heartbeat.backend_capacity.max_running, 8);
    slot = &m->heartbeat.backend_capacity.slots[0];
    assert_int_equal(slot->num_running, 2);
    assert_int_equal(slot->num_waiting, 1);
    assert_int_equal(slot->active_tokens, 77);
    assert_int_equal(slot->max_tokens_potential, 900);
}

static void a_challenge_is_answered_with_signatures_that_verify(void **state)
{
    static const char nonce[] = "fpadX14/42+iBckN3sZbOSH9xyuGPU4CF2Y+toB7k7U=";
    static const char timestamp[] = "2026-11-23T20:51:07Z";
    struct fake_world *w = *state;
    struct str key = str_from(signer_public_b64(w->signer));
    struct status_input status;
    int n;
    const struct msg_attestation_response *a;
    const struct provider_msg *m;
    struct buf canonical;
    char signed_text[128];

    fake_coordinator_say(&w->coordinator,
                         STR("{\"type\":\"attestation_challenge\","
                             "\"nonce\":\"fpadX14/42+iBckN3sZbOSH9xyuGPU4CF2Y+toB7k7U=\","
                             "\"timestamp\":\"2026-11-23T20:51:07Z\"}"));
    loop_fake_settle(w->loop);
    m = fake_coordinator_got(&w->coordinator, MSG_ATTESTATION_RESPONSE, 0);
    assert_non_null(m);
    a = &m->attestation;
    assert_true(str_is(a->nonce, nonce));
    assert_true(str_is(a->public_key, box_pair_public_b64(w->pair)));
    assert_true(str_is(a->binary_hash, FAKE_BINARY_HASH));
    assert_true(str_is(a->active_model_hash, FAKE_WEIGHT_HASH));
    assert_int_equal(a->sip_enabled, PROTO_TRI_FALSE);
    assert_int_equal(a->hypervisor_active, PROTO_TRI_FALSE);

    n = snprintf(signed_text, sizeof signed_text, "%s%s", nonce, timestamp);
    assert_true(fake_verify(key, (struct str){signed_text, (size_t)n}, a->signature));

    buf_init(&canonical, 1 << 16);
    status = status_of_response(a, str_from(timestamp));
    assert_int_equal(status_canonical(&status, &canonical), 0);
    assert_true(fake_verify(key, buf_view(&canonical), a->status_signature));
    buf_free(&canonical);
}

static void a_challenge_of_the_wrong_shape_is_ignored(void **state)
{
    struct fake_world *w = *state;

    fake_coordinator_say(&w->coordinator, STR("{\"type\":\"attestation_challenge\",\"nonce\":\"x\","
                                              "\"timestamp\":\"yesterday\"}"));
    loop_fake_settle(w->loop);
    assert_int_equal(fake_coordinator_count(&w->coordinator, MSG_ATTESTATION_RESPONSE), 0);
    assert_true(provider_is_up(w->provider));
}

static void messages_it_cannot_use_are_counted_and_named_once(void **state)
{
    static const char *const frames[] = {"not json",
                                         "[]",
                                         "{\"type\":\"new_fashion\"}",
                                         "{\"type\":\"new_fashion\"}",
                                         "{\"type\":7}",
                                         "{\"type\":\"cancel\",\"request_id\":5}",
                                         "{\"type\":\"heartbeat\"}"};
    struct fake_world *w = *state;
    size_t n = sizeof frames / sizeof frames[0];
    char *log, *first;

    for (size_t i = 0; i < n; i++)
        fake_coordinator_say(&w->coordinator, str_from(frames[i]));
    loop_fake_settle(w->loop);
    assert_true(provider_is_up(w->provider));
    assert_int_equal(provider_link_counters(w->provider).ignored, n);
    log = fake_world_log(w);
    first = strstr(log, "new_fashion");
    assert_non_null(first);
    assert_null(strstr(first + 1, "new_fashion"));
    free(log);
}

static void an_oversized_frame_costs_the_connection_not_the_process(void **state)
{
    struct fake_world *w = *state;
    size_t n = LINK_MAX_FRAME_BYTES + 1;
    char *frame = malloc(n);

    assert_non_null(frame);
    memset(frame, ' ', n);
    fake_coordinator_say(&w->coordinator, (struct str){frame, n});
    free(frame);
    fake_world_advance_ms(w, 3000);
    assert_true(provider_is_up(w->provider));
    assert_int_equal(w->coordinator.connections, 2);
}

static void load_model_is_answered_for_its_own_model_and_for_others(void **state)
{
    struct fake_world *w = *state;
    const struct provider_msg *m;

    fake_coordinator_say(&w->coordinator,
                         STR("{\"type\":\"load_model\",\"model_id\":\"" FAKE_MODEL "\"}"));
    fake_coordinator_say(&w->coordinator,
                         STR("{\"type\":\"load_model\",\"model_id\":\"another\"}"));
    loop_fake_settle(w->loop);
    m = fake_coordinator_got(&w->coordinator, MSG_LOAD_MODEL_STATUS, 0);
    assert_true(str_is(m->load_status.status, "succeeded"));
    m = fake_coordinator_got(&w->coordinator, MSG_LOAD_MODEL_STATUS, 1);
    assert_true(str_is(m->load_status.model_id, "another"));
    assert_true(str_is(m->load_status.status, "failed"));
}

/* Asked for its model, which is not in memory; the statuses that it sent so far. */
static size_t ask_to_load(struct fake_world *w)
{
    w->engine.cold = true;
    w->engine.load.unloaded = true;
    fake_coordinator_say(&w->coordinator,
                         STR("{\"type\":\"load_model\",\"model_id\":\"" FAKE_MODEL "\"}"));
    loop_fake_settle(w->loop);
    return fake_coordinator_count(&w->coordinator, MSG_LOAD_MODEL_STATUS);
}

static void change_load(struct fake_world *w, struct load load)
{
    w->engine.load = load;
    provider_on_engine_changed(w->provider);
    loop_fake_settle(w->loop);
}

static void a_model_that_is_not_loaded_is_started_and_then_succeeds(void **state)
{
    struct fake_world *w = *state;
    const struct provider_msg *m;

    assert_int_equal(ask_to_load(w), 1);
    m = fake_coordinator_got(&w->coordinator, MSG_LOAD_MODEL_STATUS, 0);
    assert_true(str_is(m->load_status.status, "started"));
    assert_int_equal(w->engine.n_warmed, 1);
    change_load(w, (struct load){.loading = true});
    assert_int_equal(fake_coordinator_count(&w->coordinator, MSG_LOAD_MODEL_STATUS), 1);
    change_load(w, (struct load){0});
    m = fake_coordinator_got(&w->coordinator, MSG_LOAD_MODEL_STATUS, 1);
    assert_true(str_is(m->load_status.status, "succeeded"));
    assert_true(str_is(m->load_status.model_id, FAKE_MODEL));
    change_load(w, (struct load){0}); /* said once */
    assert_int_equal(fake_coordinator_count(&w->coordinator, MSG_LOAD_MODEL_STATUS), 2);
}

static void a_model_that_cannot_be_loaded_fails_with_a_reason(void **state)
{
    struct fake_world *w = *state;
    const struct provider_msg *m;

    assert_int_equal(ask_to_load(w), 1);
    change_load(w, (struct load){.crashed = true}); /* of before */
    assert_int_equal(fake_coordinator_count(&w->coordinator, MSG_LOAD_MODEL_STATUS), 1);
    change_load(w, (struct load){.loading = true});
    change_load(w, (struct load){.crashed = true});
    m = fake_coordinator_got(&w->coordinator, MSG_LOAD_MODEL_STATUS, 1);
    assert_true(str_is(m->load_status.status, "failed"));
    assert_true(m->load_status.error.n > 0);
}

static void requests_and_cancels_go_on_while_a_model_loads(void **state)
{
    struct fake_world *w = *state;
    size_t heartbeats;

    (void)ask_to_load(w);
    change_load(w, (struct load){.loading = true});
    heartbeats = fake_coordinator_count(&w->coordinator, MSG_HEARTBEAT);
    fake_world_advance_ms(w, 60000);
    assert_true(provider_is_up(w->provider));
    assert_true(fake_coordinator_count(&w->coordinator, MSG_HEARTBEAT) > heartbeats);
    assert_int_equal(fake_coordinator_count(&w->coordinator, MSG_LOAD_MODEL_STATUS), 1);
}

static const struct msg_slot *newest_slot(struct fake_world *w)
{
    size_t n = fake_coordinator_count(&w->coordinator, MSG_HEARTBEAT);
    const struct provider_msg *m = fake_coordinator_got(&w->coordinator, MSG_HEARTBEAT, n - 1);

    assert_int_equal(m->heartbeat.backend_capacity.n_slots, 1);
    return &m->heartbeat.backend_capacity.slots[0];
}

static void the_slot_says_what_becomes_of_the_engine(void **state)
{
    static const struct {
        struct load load;
        const char *slot;
    } rows[] = {{{.crashed = true}, "crashed"},
                {{.loading = true}, "reloading"},
                {{.unloaded = true}, "idle_shutdown"},
                {{.running = 0}, "running"}};
    struct fake_world *w = *state;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        change_load(w, rows[i].load);
        assert_true(str_is(newest_slot(w)->state, rows[i].slot));
    }
}

static void a_runtime_status_is_logged(void **state)
{
    struct fake_world *w = *state;
    char *log;

    fake_coordinator_say(
        &w->coordinator,
        STR("{\"type\":\"runtime_status\",\"verified\":false,\"mismatches\":[{\"component\":"
            "\"runtime\",\"expected\":\"a\",\"got\":\"b\"}]}"));
    loop_fake_settle(w->loop);
    log = fake_world_log(w);
    assert_non_null(strstr(log, "runtime_status"));
    free(log);
}

static void a_session_that_lived_starts_the_back_off_afresh(void **state)
{
    struct fake_world *w = *state;

    w->rand_byte = 0xff;
    for (int i = 0; i < 3; i++) {
        fake_world_advance_ms(w, 12000);
        assert_true(provider_is_up(w->provider));
        fake_coordinator_hang_up(&w->coordinator);
        fake_world_advance_ms(w, 1100); /* never more than the first ceiling */
        assert_true(provider_is_up(w->provider));
    }
}

static void pings_that_are_answered_keep_a_quiet_connection(void **state)
{
    struct fake_world *w = *state;

    fake_world_advance_ms(w, 300000);
    assert_int_equal(w->coordinator.connections, 1);
}

static void split_frames_are_put_together(void **state)
{
    struct fake_world *w = *state;

    loop_fake_set_faults(w->loop, (struct loop_fake_faults){.recv_max = 1, .send_max = 3});
    fake_coordinator_say(&w->coordinator,
                         STR("{\"type\":\"load_model\",\"model_id\":\"another\"}"));
    loop_fake_settle(w->loop);
    assert_int_equal(fake_coordinator_count(&w->coordinator, MSG_LOAD_MODEL_STATUS), 1);
}

static void stopping_without_requests_closes_at_once(void **state)
{
    struct fake_world *w = *state;

    fake_world_stop(w);
    fake_world_advance_ms(w, PROVIDER_LINGER_MS + PROVIDER_SENT_MS);
    assert_true(w->stopped);
    assert_true(w->coordinator.closed);
    assert_non_null(strstr(w->coordinator.close_text, "1001"));
    fake_world_advance_ms(w, 60000);
    assert_int_equal(w->coordinator.connections, 1);
}

/* --- coordinators of bad manners --- */

static void a_server_that_accepts_and_closes_is_no_busy_loop(void **state)
{
    struct fake_world *w = fake_world_new(FAKE_SLAMS);
    int64_t first, third;

    (void)state;
    fake_world_advance_ms(w, 120000);
    /* These random bytes make each wait a quarter of its ceiling: 250 ms, 500 ms ... 2 s. */
    assert_in_range(w->coordinator.connections, 50, 65);
    first = w->coordinator.connected_us[1] - w->coordinator.connected_us[0];
    third = w->coordinator.connected_us[3] - w->coordinator.connected_us[2];
    assert_true(third > first);
    (void)fake_world_down((void **)&w);
}

static void silence_for_thirty_seconds_drops_the_connection(void **state)
{
    static const enum fake_manner manners[] = {FAKE_DEAF, FAKE_NOT_READY};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct fake_world *w = fake_world_new(manners[i]);

        fake_world_advance_ms(w, 29000);
        assert_int_equal(w->coordinator.connections, 1);
        w->coordinator.manner = FAKE_POLITE;
        fake_world_advance_ms(w, 3000);
        assert_int_equal(w->coordinator.connections, 2);
        assert_true(provider_is_up(w->provider));
        (void)fake_world_down((void **)&w);
    }
}

static void no_coordinator_at_all_is_tried_again(void **state)
{
    struct fake_world *w = fake_world_new(FAKE_POLITE);
    char *log;

    (void)state;
    fake_coordinator_stop_listening(&w->coordinator);
    fake_world_advance_ms(w, 10000);
    assert_false(provider_is_up(w->provider));
    log = fake_world_log(w);
    assert_non_null(strstr(log, "link_lost"));
    free(log);
    (void)fake_world_down((void **)&w);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_world_up, fake_world_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(registers_with_its_model_and_a_key_bound_by_signature),
        TEST(claims_no_protection_that_linux_does_not_have),
        TEST(the_first_heartbeat_follows_at_once_and_then_one_every_interval),
        TEST(a_heartbeat_carries_the_engines_counters),
        TEST(a_challenge_is_answered_with_signatures_that_verify),
        TEST(a_challenge_of_the_wrong_shape_is_ignored),
        TEST(messages_it_cannot_use_are_counted_and_named_once),
        TEST(an_oversized_frame_costs_the_connection_not_the_process),
        TEST(load_model_is_answered_for_its_own_model_and_for_others),
        TEST(a_model_that_is_not_loaded_is_started_and_then_succeeds),
        TEST(a_model_that_cannot_be_loaded_fails_with_a_reason),
        TEST(requests_and_cancels_go_on_while_a_model_loads),
        TEST(the_slot_says_what_becomes_of_the_engine),
        TEST(a_runtime_status_is_logged),
        TEST(a_session_that_lived_starts_the_back_off_afresh),
        TEST(pings_that_are_answered_keep_a_quiet_connection),
        TEST(split_frames_are_put_together),
        TEST(stopping_without_requests_closes_at_once),
        cmocka_unit_test(a_server_that_accepts_and_closes_is_no_busy_loop),
        cmocka_unit_test(silence_for_thirty_seconds_drops_the_connection),
        cmocka_unit_test(no_coordinator_at_all_is_tried_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
