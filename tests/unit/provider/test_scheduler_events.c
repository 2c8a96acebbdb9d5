/* SPDX-License-Identifier: Apache-2.0 */
/* The ring between the scheduler's threads and the loop: in order, bounded, nothing lost. Runs
 * under TSan as well. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#include <cmocka.h>

#include "provider/engine/events.h"

static void put(struct events *e, uint64_t tag, struct str text, int64_t tokens)
{
    const struct engine_event event = {
        .kind = ENGINE_TEXT, .tag = tag, .text = text, .tokens = tokens};

    events_put(e, &event);
}

enum { BEYOND = 100 };

struct writer {
    struct events *events;
    atomic_int put;
};

static void *write_more(void *arg)
{
    struct writer *w = arg;

    for (uint64_t i = 0; i < BEYOND; i++) {
        put(w->events, EVENTS_MAX + i, STR("x"), 1);
        atomic_fetch_add(&w->put, 1);
    }
    return NULL;
}

/* Findings §4, events.c:34. A writer that did not wait would overwrite what nobody has read. */
static void a_full_ring_makes_its_writer_wait_and_loses_nothing(void **state)
{
    struct events e;
    struct writer w = {.events = &e};
    struct engine_event event;
    pthread_t thread;

    (void)state;
    assert_int_equal(events_init(&e), 0);
    for (uint64_t i = 0; i < EVENTS_MAX; i++)
        put(&e, i, STR("x"), 1);
    assert_int_equal(pthread_create(&thread, NULL, write_more, &w), 0);
    for (int i = 0; i < 2000; i++) /* room for a writer that does not wait to run ahead */
        sched_yield();
    assert_int_equal(atomic_load(&w.put), 0);
    for (uint64_t i = 0; i < EVENTS_MAX + BEYOND; i++) {
        while (!events_take(&e, &event))
            sched_yield();
        assert_int_equal(event.tag, i);
    }
    assert_false(events_take(&e, &event));
    pthread_join(thread, NULL);
    events_free(&e);
}

static void an_abandoned_ring_lets_its_writers_go(void **state)
{
    struct events e;
    struct writer w = {.events = &e};
    struct engine_event event;
    pthread_t thread;
    int n = 0;

    (void)state;
    assert_int_equal(events_init(&e), 0);
    for (uint64_t i = 0; i < EVENTS_MAX; i++)
        put(&e, i, STR("x"), 1);
    assert_int_equal(pthread_create(&thread, NULL, write_more, &w), 0);
    events_abandon(&e);
    pthread_join(thread, NULL);
    while (events_take(&e, &event))
        n++;
    assert_int_equal(n, EVENTS_MAX); /* what came later vanished */
    events_free(&e);
}

/* The longest texts that fit one event and the shortest that do not, split at characters. */
static void a_long_text_takes_several_events_and_counts_once(void **state)
{
    char text[2 * EVENT_TEXT_BYTES + 8], joined[sizeof text];
    struct events e;

    (void)state;
    assert_int_equal(events_init(&e), 0);
    for (size_t n = 1; n <= 2 * EVENT_TEXT_BYTES + 1; n++) {
        struct engine_event event;
        size_t got = 0, events = 0;
        int64_t tokens = 0;

        for (size_t i = 0; i < n; i++) /* é is two bytes: every odd length ends with an x */
            text[i] = i % 2 ? '\xA9' : i == n - 1 ? 'x' : '\xC3';
        put(&e, 7, (struct str){text, n}, 3);
        while (events_take(&e, &event)) {
            assert_true(str_is_utf8(event.text));
            assert_true(event.text.n > 0 && event.text.n <= EVENT_TEXT_BYTES);
            memcpy(joined + got, event.text.p, event.text.n);
            got += event.text.n;
            tokens += event.tokens;
            events++;
        }
        assert_int_equal(got, n);
        assert_memory_equal(joined, text, n);
        assert_int_equal(tokens, 3);
        assert_int_equal(events, (n + EVENT_TEXT_BYTES - 1) / EVENT_TEXT_BYTES);
    }
    events_free(&e);
}

static void an_event_without_text_is_one_event(void **state)
{
    struct engine_event event;
    struct events e;

    (void)state;
    assert_int_equal(events_init(&e), 0);
    put(&e, 1, (struct str){0}, 2);
    assert_true(events_take(&e, &event));
    assert_int_equal(event.tokens, 2);
    assert_false(events_take(&e, &event));
    events_free(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_ring_makes_its_writer_wait_and_loses_nothing),
        cmocka_unit_test(an_abandoned_ring_lets_its_writers_go),
        cmocka_unit_test(a_long_text_takes_several_events_and_counts_once),
        cmocka_unit_test(an_event_without_text_is_one_event),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
