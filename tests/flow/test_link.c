/* SPDX-License-Identifier: Apache-2.0 */
/* Providers that break the protocol: what closes the connection, what is counted and ignored, what
 * costs their trust. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fake_consumer.h"
#include "fake_provider.h"

enum { PROMPT = 80, FRAME_MAX_BYTES = 10 << 20 };

static const struct fake_provider_config plain = {0};
static const struct fake_provider_config mute = {.no_register = true};
static const struct fake_provider_config busier = {.cpu_usage = 0.5};

/* Another provider registers and serves: the coordinator goes on. */
static void assert_in_service(struct fake_world *w)
{
    struct fake_provider *p = fake_provider_join(w, &plain);
    struct fake_consumer *c = fake_consumer_stream(w);

    assert_int_equal(p->n_jobs, 1);
    fake_provider_serve(p, 0, PROMPT, 40);
    assert_true(fake_consumer_done(c));
}

/* --- what closes the connection --- */

struct fault {
    const char *name;
    struct str frame;
    const char *close_code;
};

#define HEARTBEAT_OF(stats) \
    STR("{\"type\":\"heartbeat\",\"status\":\"idle\",\"stats\":" stats ",\"warm_models\":[]}")

static const struct fault closing[] = {
    {"no JSON", STR("hello"), "1007"},
    {"cut JSON", STR("{\"type\":\"heartbeat\""), "1007"},
    {"an empty frame", STR(""), "1007"},
    {"no object", STR("[1,2]"), "1007"},
    {"two values", STR("{\"type\":\"heartbeat\"}{}"), "1007"},
    {"a raw control character", STR("{\"type\":\"heart\nbeat\"}"), "1007"},
    {"invalid UTF-8", STR("{\"type\":\"heartbeat\",\"status\":\"\xff\xfe\"}"), "1007"},
    {"an overlong slash", STR("{\"type\":\"heartbeat\",\"status\":\"\xc0\xaf\"}"), "1007"},
    {"a number for a name", STR("{\"type\":\"inference_accepted\",\"request_id\":7}"), "1008"},
    {"a number for a type", STR("{\"type\":5}"), "1008"},
    {"a string for a number", HEARTBEAT_OF("{\"requests_served\":\"3\"}"), "1008"},
    {"a fraction for a count", HEARTBEAT_OF("{\"requests_served\":1.5}"), "1008"},
    {"a list for an object", HEARTBEAT_OF("[]"), "1008"},
    {"an object for a chunk's key",
     STR("{\"type\":\"inference_response_chunk\",\"request_id\":\"x\",\"encrypted_data\":"
         "{\"ephemeral_public_key\":{},\"ciphertext\":\"\"}}"),
     "1008"},
    {"a chunk for no request", STR("{\"type\":\"inference_response_chunk\"}"), "1008"},
};

static void assert_closed(struct fake_provider *p, const char *code, const char *name)
{
    if (p->ws || !strstr(p->close_text, code))
        fail_msg("%s: closed with \"%s\"", name, p->close_text);
}

static void a_frame_it_cannot_read_closes_the_connection(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof closing / sizeof closing[0]; i++) {
        void *world;
        struct fake_provider *p;

        fake_world_up(&world);
        p = fake_provider_join(world, &plain);
        fake_provider_say(p, closing[i].frame);
        fake_world_settle(world);
        assert_closed(p, closing[i].close_code, closing[i].name);
        assert_true(fake_world_logged(world, "provider_protocol") ||
                    strstr(p->close_text, "UTF-8"));
        assert_in_service(world);
        fake_world_down(&world);
    }
}

static void a_request_at_a_closed_connection_goes_to_another(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);
    struct fake_provider *other = fake_provider_join(w, &busier);
    struct fake_consumer *c = fake_consumer_stream(w);

    fake_provider_say(p, STR("nonsense"));
    fake_world_settle(w);
    fake_provider_serve(other, 0, PROMPT, 40);
    assert_true(fake_consumer_done(c));
}

static void a_frame_over_10_mib_closes_and_one_below_does_not(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);
    char *frame = malloc(FRAME_MAX_BYTES + 1);

    assert_non_null(frame);
    memset(frame, ' ', FRAME_MAX_BYTES + 1);
    memcpy(frame, "{\"type\":\"novelty\"}", 18);
    fake_provider_say(p, (struct str){frame, FRAME_MAX_BYTES});
    fake_world_settle(w);
    assert_non_null(p->ws);
    fake_provider_say(p, (struct str){frame, FRAME_MAX_BYTES + 1});
    fake_world_settle(w);
    assert_closed(p, "1009", "an oversized frame");
    free(frame);
    assert_in_service(w);
}

static void nothing_but_register_comes_first(void **state)
{
    static const struct str frames[] = {
        STR("{\"type\":\"heartbeat\",\"status\":\"idle\"}"),
        STR("{\"type\":\"inference_complete\",\"request_id\":\"x\","
            "\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1}}"),
        STR("{\"type\":\"attestation_response\",\"nonce\":\"x\"}"),
        STR("{\"type\":\"novelty\"}"),
        STR("{\"type\":\"cancel\",\"request_id\":\"x\"}"), /* the coordinator's own */
    };
    struct fake_world *w = *state;

    for (size_t i = 0; i < sizeof frames / sizeof frames[0]; i++) {
        struct fake_provider *p = fake_provider_join(w, &mute);

        assert_non_null(p->ws);
        fake_provider_say(p, frames[i]);
        fake_world_settle(w);
        assert_closed(p, "1008", frames[i].p);
    }
    assert_in_service(w);
}

static void a_second_register_closes(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);
    struct provider_msg m = fake_provider_register_msg(p);

    fake_provider_send(p, &m);
    fake_world_settle(w);
    assert_closed(p, "1008", "a second register");
}

static void silence_closes(void **state)
{
    struct fake_world *w = fake_world_new();
    struct fake_provider *unregistered, *registered;
    (void)state;

    w->settings.heartbeat_timeout_ms = w->settings.register_timeout_ms = 90000;
    fake_world_start(w);
    unregistered = fake_provider_join(w, &mute);
    registered = fake_provider_join(w, &plain);
    fake_world_advance_ms(w, 60000);
    fake_provider_heartbeat(registered);
    fake_world_advance_ms(w, 30000);
    assert_closed(unregistered, "1008", "no register");
    assert_non_null(registered->ws);
    fake_world_advance_ms(w, 60000);
    assert_closed(registered, "1008", "no heartbeat");
    fake_world_down((void **)&w);
}

/* --- what is counted and ignored --- */

static void what_it_does_not_know_is_ignored_and_counted(void **state)
{
    static const struct str frames[] = {
        STR("{\"type\":\"novelty\",\"anything\":[1,{\"x\":null}]}"),
        STR("{\"anything\":1}"),
        STR("{\"type\":null}"),
        STR("{\"type\":\"inference_accepted\",\"request_id\":\"unheard-of\"}"),
        STR("{\"type\":\"inference_response_chunk\",\"request_id\":\"unheard-of\",\"data\":\"x\"}"),
        STR("{\"type\":\"inference_complete\",\"request_id\":\"unheard-of\","
            "\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1}}"),
        STR("{\"type\":\"inference_error\",\"request_id\":\"unheard-of\",\"error\":\"x\","
            "\"status_code\":500}"),
        STR("{\"type\":\"attestation_response\",\"nonce\":\"never asked\"}"),
        STR("{\"type\":\"cancel\",\"request_id\":\"coordinators say this\"}"),
    };
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);

    for (size_t i = 0; i < sizeof frames / sizeof frames[0]; i++)
        fake_provider_say(p, frames[i]);
    fake_world_settle(w);
    assert_non_null(p->ws);
    fake_consumer_stream(w);
    fake_provider_serve(p, 0, PROMPT, 40); /* trusted as before */
    assert_string_equal(fake_world_hold(w, 0).outcome, "completed");
    fake_provider_die(p);
    fake_world_settle(w);
    assert_true(fake_world_logged(w, "ignored_messages=9"));
}

static void unknown_fields_and_nulls_are_ignored(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);
    char frame[300];

    fake_consumer_stream(w);
    snprintf(frame, sizeof frame,
             "{\"type\":\"inference_accepted\",\"novelty\":{\"a\":[1]},\"request_id\":\"%s\","
             "\"prompt_tokens\":null}",
             p->jobs[0].wire_id);
    fake_provider_say(p, str_from(frame));
    fake_world_advance_ms(w, 11000); /* accepted: the accept deadline is off */
    assert_non_null(p->ws);
    assert_int_equal(p->jobs[0].cancels, 0);
    fake_provider_serve(p, 0, PROMPT, 40);
    assert_string_equal(fake_world_hold(w, 0).outcome, "completed");
}

static void words_about_a_finished_request_are_ignored(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);
    struct fake_consumer *c = fake_consumer_stream(w);

    fake_provider_serve(p, 0, PROMPT, 40);
    fake_provider_text(p, 0, "more", 10);
    fake_provider_complete(p, 0, PROMPT, 50);
    fake_provider_error(p, 0, 500, "after all");
    assert_int_equal(fake_consumer_events(c), 6);
    assert_int_equal(fake_world_hold(w, 0).cost, PROMPT + 80);
    assert_non_null(p->ws);
}

static void one_provider_cannot_speak_for_another(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);
    struct fake_provider *other = fake_provider_join(w, &busier);
    struct fake_consumer *c = fake_consumer_stream(w);
    struct provider_msg m;

    assert_int_equal(p->n_jobs, 1);
    m = fake_provider_chunk(p, 0, STR("data: {\"choices\":[]}"), 1);
    fake_provider_send(other, &m);
    fake_provider_send(other,
                       &(struct provider_msg){.type = MSG_INFERENCE_ERROR,
                                              .error = {.request_id = str_from(p->jobs[0].wire_id),
                                                        .error = STR("x"),
                                                        .status_code = 400}});
    fake_world_settle(w);
    assert_int_equal(fake_consumer_status(c), 0);
    fake_provider_serve(p, 0, PROMPT, 40);
    assert_string_equal(fake_consumer_text(c), "Hello world");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_world_up, fake_world_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_frame_it_cannot_read_closes_the_connection),
        TEST(a_request_at_a_closed_connection_goes_to_another),
        TEST(a_frame_over_10_mib_closes_and_one_below_does_not),
        TEST(nothing_but_register_comes_first),
        TEST(a_second_register_closes),
        cmocka_unit_test(silence_closes),
        TEST(what_it_does_not_know_is_ignored_and_counted),
        TEST(unknown_fields_and_nulls_are_ignored),
        TEST(words_about_a_finished_request_are_ignored),
        TEST(one_provider_cannot_speak_for_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
