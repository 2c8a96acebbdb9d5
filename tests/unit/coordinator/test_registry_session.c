/* SPDX-License-Identifier: Apache-2.0 */
/* Encryption sessions that are made ahead of need: one a provider, while the slab has room for what
 * is needed now. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sodium.h>

#include "unit/coordinator/fake_fleet.h"

static struct box_slab *slab;

static int up(void **state)
{
    struct fake_fleet *f;

    if (sodium_init() < 0 || fake_fleet_up(state) < 0)
        return -1;
    f = *state;
    assert_int_equal(box_slab_new(REGISTRY_SESSION_SLOTS, &slab), 0);
    f->reg->config.slab = slab;
    return 0;
}

static int down(void **state)
{
    (void)fake_fleet_down(state);
    box_slab_free(slab);
    return 0;
}

static struct provider *with_encryption_key(struct fake_fleet *f)
{
    struct provider *p = fake_fleet_add(f, TRUST_NONE, 1);
    uint8_t secret[crypto_box_SECRETKEYBYTES];

    crypto_box_keypair(p->x25519, secret);
    return p;
}

static void the_next_session_is_made_once_the_last_is_given_out(void **state)
{
    struct fake_fleet *f = *state;
    struct provider *p = with_encryption_key(f);
    struct box_session *first = NULL, *second = NULL, *ahead;

    assert_int_equal(registry_session(&p->offers[0], &first), 0);
    assert_int_equal(p->stock.n, 0);
    loop_fake_advance(f->loop, 0);
    assert_int_equal(p->stock.n, 1);
    ahead = p->stock.ready[0];
    assert_int_equal(registry_session(&p->offers[0], &second), 0);
    assert_ptr_equal(second, ahead);
    assert_ptr_not_equal(second, first);
    box_session_close(first);
    box_session_close(second);
}

static void none_is_made_ahead_once_half_of_the_slab_is_taken(void **state)
{
    struct fake_fleet *f = *state;
    struct provider *p = with_encryption_key(f);
    static struct box_session *taken[REGISTRY_SESSION_SLOTS / 2];
    size_t n = 0;

    /* Up to one more than half is left: the last that may be made ahead. */
    while (box_slab_left(slab) > REGISTRY_SESSION_SLOTS / 2 + 2)
        assert_int_equal(box_session_open(slab, p->x25519, &taken[n++]), 0);
    assert_int_equal(registry_session(&p->offers[0], &taken[n++]), 0);
    loop_fake_advance(f->loop, 0);
    assert_int_equal(p->stock.n, 1);
    assert_int_equal(box_slab_left(slab), REGISTRY_SESSION_SLOTS / 2);
    assert_int_equal(registry_session(&p->offers[0], &taken[n++]), 0);
    loop_fake_advance(f->loop, 0);
    assert_int_equal(p->stock.n, 0);
    while (n > 0)
        box_session_close(taken[--n]);
}

static void what_was_made_ahead_goes_with_its_provider(void **state)
{
    struct fake_fleet *f = *state;
    struct provider *p = with_encryption_key(f);
    struct box_session *s = NULL;

    assert_int_equal(registry_session(&p->offers[0], &s), 0);
    box_session_close(s);
    loop_fake_advance(f->loop, 0);
    assert_int_equal(box_slab_left(slab), REGISTRY_SESSION_SLOTS - 1);
    fake_fleet_leave(f, p, false);
    assert_int_equal(box_slab_left(slab), REGISTRY_SESSION_SLOTS);
}

/* What the maker makes of it is test_maker.c's; here, how much is ordered and that nothing is left
 * over. */
static void with_a_maker_a_provider_asked_for_more_at_once_has_more_ordered(void **state)
{
    struct fake_fleet *f = *state;
    struct provider *p = with_encryption_key(f);
    struct box_session *taken[4];
    struct box_maker *maker;

    assert_int_equal(box_maker_new(&maker), 0);
    assert_int_equal(box_port_new(maker, &f->reg->config.session_port), 0);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(registry_session(&p->offers[0], &taken[i]), 0);
    loop_fake_advance(f->loop, 0);
    assert_int_equal(p->stock.n + p->stock.ordered, 8); /* 1, 2, 4, 8 */
    fake_fleet_leave(f, p, false);
    for (size_t i = 0; i < 4; i++)
        box_session_close(taken[i]);
    box_maker_free(maker);
    box_port_free(f->reg->config.session_port);
    f->reg->config.session_port = NULL;
    assert_int_equal(box_slab_left(slab), REGISTRY_SESSION_SLOTS);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_next_session_is_made_once_the_last_is_given_out),
        TEST(none_is_made_ahead_once_half_of_the_slab_is_taken),
        TEST(what_was_made_ahead_goes_with_its_provider),
        TEST(with_a_maker_a_provider_asked_for_more_at_once_has_more_ordered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
