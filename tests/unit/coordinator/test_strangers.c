/* SPDX-License-Identifier: Apache-2.0 */
/* How many unknown keys an address may have looked up (findings L2). The last test is what TSan
 * looks at. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "coordinator/admit/strangers.h"

enum { S = 1000000, NOW = 100 * S };

static int take(struct strangers *s, const char *peer, int64_t now_us)
{
    int wait_s = 0;
    int rc = strangers_take(s, peer, now_us, &wait_s);

    assert_int_equal(wait_s, rc == ERR_BUSY ? 1 : 0);
    return rc;
}

static void an_address_has_so_many_at_once_and_then_one_a_period(void **state)
{
    struct strangers *s = strangers_new(4);

    (void)state;
    for (int i = 0; i < 4; i++)
        assert_int_equal(take(s, "192.0.2.1", NOW), 0);
    for (int i = 0; i < 3; i++) /* a refusal leaves no debt */
        assert_int_equal(take(s, "192.0.2.1", NOW), ERR_BUSY);
    assert_int_equal(take(s, "192.0.2.2", NOW), 0);
    assert_int_equal(take(s, "192.0.2.1", NOW + S / 4 - 1), ERR_BUSY);
    assert_int_equal(take(s, "192.0.2.1", NOW + S / 4), 0);
    assert_int_equal(take(s, "192.0.2.1", NOW + S / 4), ERR_BUSY);
    strangers_free(s);
    strangers_free(NULL);
}

static void a_look_up_that_found_somebody_is_given_back(void **state)
{
    struct strangers *s = strangers_new(1);

    (void)state;
    strangers_give_back(s, "192.0.2.1"); /* nothing was taken */
    for (int i = 0; i < 100; i++) {
        assert_int_equal(take(s, "192.0.2.1", NOW), 0);
        strangers_give_back(s, "192.0.2.1");
    }
    assert_int_equal(take(s, "192.0.2.1", NOW), 0);
    assert_int_equal(take(s, "192.0.2.1", NOW), ERR_BUSY);
    strangers_free(s);
}

static void the_limit_may_change_and_zero_is_none(void **state)
{
    struct strangers *s = strangers_new(0);

    (void)state;
    for (int i = 0; i < 1000; i++)
        assert_int_equal(take(s, "192.0.2.1", NOW), 0);
    strangers_limit(s, 1);
    assert_int_equal(take(s, "192.0.2.1", NOW), 0);
    assert_int_equal(take(s, "192.0.2.1", NOW), ERR_BUSY);
    strangers_limit(s, 1000000);
    assert_int_equal(take(s, "192.0.2.1", NOW + S), 0);
    strangers_free(s);
}

static const struct {
    const char *one, *other;
    int rc; /* of the other, when the one has had all that it may */
} pairs[] = {
    {"2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", ERR_BUSY}, /* of one /64 */
    {"2001:db8:1:2::1", "2001:db8:1:3::1", 0},
    {"192.0.2.1", "::ffff:192.0.2.1", ERR_BUSY}, /* as a socket for both versions says it */
    {"::ffff:192.0.2.1", "::ffff:192.0.2.2", 0},
    {"fe80::1%eth0", "fe80::2%eth0", ERR_BUSY},
    {"", "no address", ERR_BUSY},
    {"192.0.2.1", "", 0},
};

static void ipv6_counts_by_its_network_and_ipv4_by_its_address(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        struct strangers *s = strangers_new(1);

        assert_int_equal(take(s, pairs[i].one, NOW), 0);
        if (take(s, pairs[i].other, NOW) != pairs[i].rc)
            fail_msg("%s beside %s", pairs[i].other, pairs[i].one);
        strangers_free(s);
    }
}

/* Far more addresses than there are rows: one that asks all the time keeps its row, since those
 * that were silent the longest go first. */
static void of_too_many_addresses_the_most_silent_are_forgotten(void **state)
{
    struct strangers *s = strangers_new(2);
    int64_t now = NOW;
    int refused = 0;
    char peer[32];

    (void)state;
    for (int i = 0; i < 8 * STRANGERS_MAX; i++) {
        (void)snprintf(peer, sizeof peer, "10.%d.%d.%d", i >> 16, (i >> 8) & 255, i & 255);
        assert_int_equal(take(s, peer, now), 0);
        refused += take(s, "192.0.2.1", now) == ERR_BUSY;
        now += S / 1000; /* a thousand a second, of which two are allowed */
    }
    assert_in_range(refused, 8 * STRANGERS_MAX - 100, 8 * STRANGERS_MAX - 60);
    strangers_free(s);
}

enum { THREADS = 4, TRIES = 1000, LIMIT = 100 };

struct asker {
    pthread_t thread;
    struct strangers *s;
    int taken;
};

static void *ask(void *ud)
{
    struct asker *a = ud;
    int wait_s;

    for (int i = 0; i < TRIES; i++)
        a->taken += strangers_take(a->s, "192.0.2.1", NOW, &wait_s) == 0;
    return NULL;
}

static void many_loops_look_up_no_more_than_the_limit_allows(void **state)
{
    struct strangers *s = strangers_new(LIMIT);
    struct asker askers[THREADS];
    int taken = 0;

    (void)state;
    for (int i = 0; i < THREADS; i++) {
        askers[i] = (struct asker){.s = s};
        assert_int_equal(pthread_create(&askers[i].thread, NULL, ask, &askers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(askers[i].thread, NULL);
        taken += askers[i].taken;
    }
    assert_int_equal(taken, LIMIT);
    strangers_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_address_has_so_many_at_once_and_then_one_a_period),
        cmocka_unit_test(a_look_up_that_found_somebody_is_given_back),
        cmocka_unit_test(the_limit_may_change_and_zero_is_none),
        cmocka_unit_test(ipv6_counts_by_its_network_and_ipv4_by_its_address),
        cmocka_unit_test(of_too_many_addresses_the_most_silent_are_forgotten),
        cmocka_unit_test(many_loops_look_up_no_more_than_the_limit_allows),
    };

    return cmocka_run_group_tests_name("strangers", tests, NULL, NULL);
}
