/* SPDX-License-Identifier: Apache-2.0 */
/* Everybody does anything at any time, by the dice of a seed: whatever happens, each answer has one
 * end, and when all have left nothing is held, alive or unbalanced. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "fake_consumer.h"
#include "fake_provider.h"

enum { SEEDS = 12, STEPS = 400, LIVE_PROVIDERS = 4, PROMPT = 80 };

struct chaos {
    struct fake_world *w;
    uint64_t state;
};

static size_t dice(struct chaos *x, size_t sides)
{
    x->state = x->state * 6364136223846793005 + 1442695040888963407;
    return (size_t)(x->state >> 33) % sides;
}

/* --- what may happen --- */

static void a_consumer_asks(struct chaos *x)
{
    static const char *const headers[] = {NULL, NULL, NULL, "Idempotency-Key: one\r\n",
                                          "X-Min-Trust-Level: hardware\r\n"};
    const struct fake_ask ask = {.body = dice(x, 3) ? FAKE_STREAM : FAKE_WHOLE,
                                 .headers = headers[dice(x, 5)],
                                 .key = dice(x, 20) ? NULL : "unknown",
                                 .deaf = dice(x, 6) == 0};

    if (x->w->n_consumers < FAKE_CONSUMERS)
        fake_consumer_ask(x->w, &ask);
}

static void a_consumer_leaves(struct chaos *x)
{
    if (x->w->n_consumers > 0 && dice(x, 3) == 0)
        fake_consumer_leave(x->w->consumers[dice(x, x->w->n_consumers)]);
}

static void a_consumer_begins_to_read(struct chaos *x)
{
    if (x->w->n_consumers > 0)
        fake_consumer_listen(x->w->consumers[dice(x, x->w->n_consumers)]);
}

static void a_provider_joins(struct chaos *x)
{
    static const char *const keys[] = {NULL, NULL, "same"};
    static const enum fake_answer answers[] = {FAKE_ANSWERS, FAKE_ANSWERS, FAKE_ANSWERS,
                                               FAKE_SILENT, FAKE_FORGES};
    const struct fake_provider_config config = {.key = keys[dice(x, 3)],
                                                .answer = answers[dice(x, 5)],
                                                .max_running = 1 + (int64_t)dice(x, 4),
                                                .cpu_usage = (double)dice(x, 100) / 100};
    size_t live = 0;

    for (size_t i = 0; i < x->w->n_providers; i++)
        live += x->w->providers[i]->ws != NULL;
    if (live < LIVE_PROVIDERS && x->w->n_providers < FAKE_PROVIDERS)
        fake_provider_join(x->w, &config);
}

static void says_a_lot(struct fake_provider *p, size_t job)
{
    static char text[20001];

    memset(text, 'x', sizeof text - 1);
    fake_provider_text(p, job, text, 5);
}

static void says_something_odd(struct chaos *x, struct fake_provider *p, size_t job)
{
    switch (dice(x, 8)) {
    case 0:
        fake_provider_line(p, job, STR("data: {\"choices\":[{\"delta\":{\"content\":x}}]}"), 1);
        break;
    case 1:
        fake_provider_say(p, STR("{\"type\":\"novelty\"}"));
        break;
    case 2:
        fake_provider_say(p, STR("nonsense"));
        break;
    case 3:
        fake_provider_die(p);
        break;
    default:
        fake_provider_heartbeat(p);
        break;
    }
    fake_world_settle(x->w);
}

static void a_provider_says_something(struct chaos *x)
{
    struct fake_provider *p;
    size_t job;

    if (x->w->n_providers == 0)
        return;
    p = x->w->providers[dice(x, x->w->n_providers)];
    if (!p->ws || p->n_jobs == 0)
        return;
    job = p->n_jobs - 1 - dice(x, p->n_jobs < 4 ? p->n_jobs : 4);
    switch (dice(x, 10)) {
    case 0:
    case 1:
        fake_provider_accept(p, job, PROMPT);
        break;
    case 2:
        fake_provider_role(p, job);
        break;
    case 3:
    case 4:
        fake_provider_text(p, job, "Hello", (int64_t)dice(x, 4));
        break;
    case 5:
        says_a_lot(p, job);
        break;
    case 6:
        fake_provider_error(p, job, dice(x, 2) ? 500 : 400, "no");
        break;
    case 7:
        says_something_odd(x, p, job);
        break;
    default:
        fake_provider_serve(p, job, PROMPT, (int64_t)dice(x, 200));
    }
}

static void time_goes_by(struct chaos *x)
{
    static const int64_t spans_ms[] = {1, 5, 5, 100, 300, 300, 2000, 12000};

    fake_world_advance_ms(x->w, spans_ms[dice(x, 8)]);
}

static void the_disk_changes_its_pace(struct chaos *x)
{
    static const int64_t delays_us[] = {0, 0, 4000, 60000};

    fake_world_slow_store(x->w, delays_us[dice(x, 4)]);
}

static void (*const happenings[])(struct chaos *x) = {
    a_consumer_asks,
    a_consumer_asks,
    a_consumer_leaves,
    a_consumer_begins_to_read,
    a_provider_joins,
    a_provider_joins,
    a_provider_says_something,
    a_provider_says_something,
    a_provider_says_something,
    a_provider_says_something,
    a_provider_says_something,
    a_provider_says_something,
    time_goes_by,
    the_disk_changes_its_pace,
};

/* --- what must hold --- */

static void assert_one_end(struct fake_consumer *c)
{
    bool stream = str_is(fake_consumer_header(c, "Content-Type"), "text/event-stream");
    struct str last;
    size_t n, done = 0;

    if (!fake_consumer_done(c) || !stream)
        return;
    n = fake_consumer_events(c);
    for (size_t i = 0; i < n; i++)
        done += str_is(fake_consumer_event(c, i), "[DONE]");
    last = fake_consumer_event(c, n - 1);
    assert_int_equal(done, str_is(last, "[DONE]") ? 1 : 0); /* who fails says so and no [DONE] */
    assert_true(done == 1 || str_starts(last, STR("{\"error\":")));
}

/* Everybody who read and did not leave has an answer in the end. (Who did not read may have been
 * cut with the end unread.) */
static void assert_answered(struct fake_world *w)
{
    for (size_t i = 0; i < w->n_consumers; i++) {
        struct fake_consumer *c = w->consumers[i];

        fake_consumer_listen(c);
        assert_one_end(c);
        if (!c->left && !c->was_deaf && !fake_consumer_done(c))
            fail_msg("consumer %zu has no answer: status %d", i, fake_consumer_status(c));
    }
}

static void live_through(uint64_t seed)
{
    void *world;
    struct chaos x = {.state = seed};

    fake_world_up(&world);
    x.w = world;
    x.w->rand_state = seed;
    for (int i = 0; i < STEPS; i++)
        happenings[dice(&x, sizeof happenings / sizeof happenings[0])](&x);
    fake_world_slow_store(x.w, 0);
    for (size_t i = 0; i < x.w->n_providers; i++)
        fake_provider_die(x.w->providers[i]);
    fake_world_advance_ms(x.w, x.w->settings.request_deadline_ms);
    assert_answered(x.w);
    fake_world_down(&world);
}

static void whatever_happens_each_answer_has_one_end_and_the_money_is_right(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        print_message("seed %d\n", (int)seed);
        live_through(seed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_happens_each_answer_has_one_end_and_the_money_is_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
