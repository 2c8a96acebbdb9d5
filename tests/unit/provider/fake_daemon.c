/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/provider/fake_daemon.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

static void on_events(void *ud)
{
    struct fake_daemon *w = ud;
    const struct engine_port port = model_port(w->model);
    struct engine_event e;

    while (port.poll(port.ud, &e) == 1) {
        struct fake_seen *s = &w->seen[w->n_seen++];

        assert_true(w->n_seen < FAKE_DAEMON_EVENTS && e.text.n < FAKE_DAEMON_TEXT_BYTES);
        s->event = e;
        if (e.text.n > 0)
            memcpy(s->text, e.text.p, e.text.n);
    }
}

static void on_changed(void *ud)
{
    ((struct fake_daemon *)ud)->n_changed++;
}

static void fill(void *ud, void *ret_bytes, size_t n)
{
    (void)ud;
    memset(ret_bytes, 7, n);
}

int fake_daemon_up(void **state)
{
    struct fake_daemon *w = calloc(1, sizeof *w);
    struct model_config config = {
        .rand = {fill, NULL},
        .open = {.model_path = STR("/m.gguf"), .slots = 8, .max_waiting = FAKE_DAEMON_WAITING},
        .restart_max_ms = FAKE_DAEMON_RESTART_MS,
        .events = on_events,
        .changed = on_changed,
        .ud = w};

    assert_int_equal(loop_fake_new(0, &w->loop), 0);
    fake_process_up(&w->process, w->loop);
    w->log = (struct log){.fd = -1, .level = LOG_ERROR, .clock = loop_clock(w->loop)};
    config.loop = w->loop;
    config.log = &w->log;
    config.process = fake_process_ops(&w->process);
    assert_int_equal(model_new(&config, &w->model), 0);
    *state = w;
    return 0;
}

int fake_daemon_down(void **state)
{
    struct fake_daemon *w = *state;

    fake_process_down(&w->process);
    model_free(w->model);
    loop_free(w->loop);
    free(w);
    return 0;
}

/* --- what the scripted engine says --- */

void fake_daemon_ready(struct fake_daemon *w, const char *hash)
{
    const struct wire_msg m = {.type = WIRE_READY,
                               .ready = {.version = STR(DARKBLOOM_VERSION),
                                         .context_tokens = 2048,
                                         .max_seqs = 8,
                                         .invariant = true,
                                         .quantization = STR("Q4_1"),
                                         .weight_hash = str_from(hash),
                                         .no_new_files = true,
                                         .no_network = true,
                                         .filtered = true,
                                         .not_dumpable = true}};

    fake_process_says(&w->process, &m);
}

void fake_daemon_start(struct fake_daemon *w)
{
    struct wire_msg m;

    model_start(w->model);
    assert_true(fake_process_hears(&w->process, &m));
    assert_int_equal(m.type, WIRE_OPEN);
    fake_daemon_ready(w, "abc");
    assert_int_equal(model_state(w->model), MODEL_READY);
}

void fake_daemon_say(struct fake_daemon *w, enum engine_event_kind kind, uint64_t tag,
                     const char *text)
{
    const struct wire_msg m = {
        .type = WIRE_EVENT,
        .event = {.kind = kind, .tag = tag, .text = str_from(text), .prompt_tokens = 5}};

    fake_process_says(&w->process, &m);
}

/* The engine comes back after it ended. */
void fake_daemon_come_back(struct fake_daemon *w)
{
    loop_fake_advance(w->loop, FAKE_DAEMON_RESTART_MS * INT64_C(1000));
    assert_int_equal(model_state(w->model), MODEL_LOADING);
    fake_daemon_ready(w, "abc");
    assert_int_equal(model_state(w->model), MODEL_READY);
}

/* --- what the daemon asks --- */

int fake_daemon_ask(struct fake_daemon *w, uint64_t tag, const char *prompt)
{
    const struct engine_port port = model_port(w->model);
    const struct chat_request chat = {.body = str_from(prompt), .messages = str_from(prompt)};

    return port.submit(port.ud, tag, &chat);
}

void fake_daemon_cancel(struct fake_daemon *w, uint64_t tag)
{
    const struct engine_port port = model_port(w->model);

    port.cancel(port.ud, tag);
}

struct load fake_daemon_load(struct fake_daemon *w)
{
    const struct engine_port port = model_port(w->model);
    struct load load = {0};

    port.load(port.ud, &load);
    return load;
}

/* Submits that reach the engine: their tags, "1 2 ". */
const char *fake_daemon_reached(struct fake_daemon *w)
{
    static char text[128];
    struct wire_msg m;
    size_t n = 0;

    text[0] = '\0';
    while (fake_process_hears(&w->process, &m)) {
        if (m.type == WIRE_SUBMIT)
            n += (size_t)snprintf(text + n, sizeof text - n, "%d ", (int)m.submit.tag);
    }
    return text;
}

const struct fake_seen *fake_daemon_last(const struct fake_daemon *w)
{
    assert_true(w->n_seen > 0);
    return &w->seen[w->n_seen - 1];
}
