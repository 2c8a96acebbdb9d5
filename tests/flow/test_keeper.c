/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of a provider's key outlives its connection and this process (FR-1): a restart of
 * either washes nobody clean. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "fake_consumer.h"
#include "fake_provider.h"

static struct fake_provider *join(struct fake_world *w, const char *key, enum fake_answer answer)
{
    return fake_provider_join(w, &(struct fake_provider_config){.key = key, .answer = answer});
}

/* Requests until it is asked no more; each fails at once. Returns how many it was given. */
static size_t fail_all(struct fake_world *w, struct fake_provider *p)
{
    size_t before = p->n_jobs;

    for (int i = 0; i < 30; i++) {
        size_t given = p->n_jobs;
        struct fake_consumer *c = fake_consumer_whole(w);

        while (p->n_jobs > given)
            fake_provider_error(p, given++, 500, "broken");
        fake_consumer_leave(c);
        fake_world_settle(w);
    }
    return p->n_jobs - before;
}

static void restart(struct fake_world *w)
{
    fake_world_stop(w);
    fake_world_start(w);
}

/* Done-when: at most 10 requests, then one in 30 s, also after its reconnect and after ours. */
static void one_that_always_fails_gets_ten_requests_in_all(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = join(w, "broken", FAKE_ANSWERS);
    size_t given = fail_all(w, p);

    assert_in_range(given, 1, 10);
    fake_provider_die(p);
    fake_world_settle(w);
    given += fail_all(w, join(w, "broken", FAKE_ANSWERS));
    assert_in_range(given, 1, 10);
    fake_world_advance_ms(w, 1500); /* saved once a second */
    restart(w);
    given += fail_all(w, join(w, "broken", FAKE_ANSWERS));
    assert_in_range(given, 1, 11); /* a probe may be due by now */
}

static void what_changed_just_before_the_end_is_saved_too(void **state)
{
    struct fake_world *w = *state;
    size_t given = fail_all(w, join(w, "broken", FAKE_ANSWERS));

    restart(w);
    given += fail_all(w, join(w, "broken", FAKE_ANSWERS));
    assert_in_range(given, 1, 10);
}

static void a_wrong_signature_is_final_over_restarts(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = join(w, "liar", FAKE_ANSWERS);

    p->config.answer = FAKE_FORGES; /* at its next challenge, the key being proven */
    fake_world_advance_ms(w, 2 * w->settings.challenge_interval_ms);
    restart(w);
    p = join(w, "liar", FAKE_ANSWERS);
    fake_consumer_whole(w);
    assert_int_equal(p->n_jobs, 0);
    assert_int_equal(fake_world_query(w, "SELECT count(*) FROM provider_state"
                                         " WHERE distrusted = 'challenge_signature'"),
                     1);
}

static void a_row_that_cannot_be_read_is_told_and_its_key_begins_anew(void **state)
{
    struct fake_world *w = *state;

    fail_all(w, join(w, "broken", FAKE_ANSWERS));
    fake_world_stop(w);
    fake_world_tamper(w, "UPDATE provider_state SET state = 'no JSON'");
    fake_world_start(w);
    assert_true(fake_world_logged(w, "record_unreadable"));
    assert_true(fail_all(w, join(w, "broken", FAKE_ANSWERS)) > 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_world_up, fake_world_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(one_that_always_fails_gets_ten_requests_in_all),
        TEST(what_changed_just_before_the_end_is_saved_too),
        TEST(a_wrong_signature_is_final_over_restarts),
        TEST(a_row_that_cannot_be_read_is_told_and_its_key_begins_anew),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
