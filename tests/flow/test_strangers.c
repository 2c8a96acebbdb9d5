/* SPDX-License-Identifier: Apache-2.0 */
/* What a provider may do before it has said who it is: send one message of moderate size, soon
 * (findings L1). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "coordinator/registry/provider.h"
#include "fake_consumer.h"
#include "fake_provider.h"

enum { PROMPT = 80, SOCKETS = 60 };

static const struct fake_provider_config plain = {0};
static const struct fake_provider_config mute = {.no_register = true};

static void assert_closed(const struct fake_provider *p, const char *text)
{
    if (p->ws || !strstr(p->close_text, text))
        fail_msg("closed with \"%s\"", p->close_text);
}

/* A JSON text of exactly `n` bytes, freed by the caller. */
static char *padded(const char *json, size_t n)
{
    char *text = malloc(n + 1);

    assert_non_null(text);
    memset(text, ' ', n);
    memcpy(text, json, strlen(json));
    text[n] = 0;
    return text;
}

static void before_register_a_frame_is_small_and_after_it_large(void **state)
{
    static const char novelty[] = "{\"type\":\"novelty\"}";
    struct fake_world *w = *state;
    struct fake_provider *stranger = fake_provider_join(w, &mute);
    struct fake_provider *known = fake_provider_join(w, &plain);
    char *text = padded(novelty, PROVIDER_FRAME_MAX_BYTES);

    fake_provider_say(known, (struct str){text, PROVIDER_FRAME_MAX_BYTES});
    fake_world_settle(w);
    assert_non_null(known->ws);
    fake_provider_say(stranger, (struct str){text, PROVIDER_FIRST_FRAME_MAX_BYTES + 1});
    fake_world_settle(w);
    assert_closed(stranger, "1009");
    free(text);
}

/* As many models as are allowed, with long ids, and an attestation of 100 KiB. */
static void the_largest_register_message_of_the_network_fits(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &mute);
    struct buf frame;

    buf_init(&frame, PROVIDER_FIRST_FRAME_MAX_BYTES);
    assert_int_equal(buf_append_str(&frame, STR("{\"type\":\"register\",\"hardware\":{},"
                                                "\"backend\":\"inprocess-llama\",\"models\":[")),
                     0);
    for (int i = 0; i < PROVIDER_MAX_MODELS; i++)
        assert_int_equal(
            buf_printf(&frame,
                       "%s{\"id\":\"%0128d\",\"size_bytes\":%d,\"model_type\":\"%032d\","
                       "\"quantization\":\"Q4_K_M\",\"weight_hash\":\"%064d\","
                       "\"context_length\":131072,\"numerics\":\"invariant\"}",
                       i ? "," : "", i, i, i, i),
            0);
    assert_int_equal(buf_printf(&frame, "],\"anything\":\"%0102400d\"}", 1), 0);
    fake_provider_say(p, buf_view(&frame));
    fake_world_settle(w);
    assert_string_equal(p->close_text, "");
    assert_true(fake_world_logged(w, "provider_registered"));
    buf_free(&frame);
}

static void who_does_not_register_in_time_is_closed(void **state)
{
    struct fake_world *w = fake_world_new();
    struct fake_provider *stranger, *known;
    (void)state;

    w->settings.register_timeout_ms = 15000;
    fake_world_start(w);
    stranger = fake_provider_join(w, &mute);
    known = fake_provider_join(w, &plain);
    fake_world_advance_ms(w, 14999);
    assert_non_null(stranger->ws);
    fake_world_advance_ms(w, 1);
    assert_closed(stranger, "no register message in time");
    assert_non_null(known->ws);
    fake_world_down((void **)&w);
}

/* --- many of them --- */

static void on_connect(void *ud, int sock)
{
    *(int *)ud = sock;
}

static bool send_raw(struct fake_world *w, int sock, struct str bytes)
{
    while (bytes.n > 0) {
        struct iovec iov = {(void *)bytes.p, bytes.n};
        ssize_t n = loop_sendv(w->loop, sock, &iov, 1);

        if (n < 0)
            return false;
        bytes = (struct str){bytes.p + n, bytes.n - (size_t)n};
        fake_world_settle(w);
    }
    return true;
}

/* Connect, upgrade, announce a message of 200,000 bytes and send all but its end. */
static void begin_message(struct fake_world *w, int *ret_sock)
{
    static const char head[] =
        "GET /ws/provider HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        "\x81\xFF\0\0\0\0\0\x03\x0d\x40\0\0\0\0"; /* masked with zeros */
    char *text = padded("{", 199999);

    loop_connect(w->loop, "127.0.0.1", w->coord->port, on_connect, ret_sock);
    fake_world_settle(w);
    assert_true(*ret_sock >= 0);
    assert_true(send_raw(w, *ret_sock, (struct str){head, sizeof head - 1}));
    (void)send_raw(w, *ret_sock, (struct str){text, 199999});
    free(text);
}

/* 60 sockets want 12 MiB of the 2 MiB that strangers have together. */
static void strangers_together_hold_a_bounded_part_and_others_are_served(void **state)
{
    struct fake_world *w = fake_world_new();
    struct fake_provider *known;
    struct fake_consumer *c;
    int socks[SOCKETS];
    (void)state;

    w->settings.memory_mib = 64;
    fake_world_start(w);
    for (int i = 0; i < SOCKETS; i++) {
        begin_message(w, &socks[i]);
        assert_true(budget_used(&w->hub->memory.unregistered) <= 2 << 20);
    }
    assert_true(budget_used(&w->hub->memory.unregistered) > 1 << 20);
    known = fake_provider_join(w, &plain); /* its message is read at once, and charges nothing */
    c = fake_consumer_stream(w);
    assert_int_equal(known->n_jobs, 1);
    fake_provider_serve(known, 0, PROMPT, 40);
    assert_true(fake_consumer_done(c));
    for (int i = 0; i < SOCKETS; i++)
        loop_close(w->loop, socks[i]);
    fake_world_down((void **)&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(before_register_a_frame_is_small_and_after_it_large,
                                        fake_world_up, fake_world_down),
        cmocka_unit_test_setup_teardown(the_largest_register_message_of_the_network_fits,
                                        fake_world_up, fake_world_down),
        cmocka_unit_test(who_does_not_register_in_time_is_closed),
        cmocka_unit_test(strangers_together_hold_a_bounded_part_and_others_are_served),
    };

    return cmocka_run_group_tests_name("strangers", tests, NULL, NULL);
}
