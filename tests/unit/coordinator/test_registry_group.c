/* SPDX-License-Identifier: Apache-2.0 */
/* The registries of three loops: what each publishes, and a key that is proven first on one and
 * then on another. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "coordinator/admit/queue.h"
#include "unit/coordinator/fake_fleet.h"

enum { LOOPS = 3, WAIT_US = 30000000 };

#define KEY "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

struct house {
    struct registry_group *group;
    struct fake_fleet *fleets[LOOPS];
    struct account account;
    struct purse purse;
};

static int up(void **state)
{
    struct house *h = calloc(1, sizeof *h);

    h->group = registry_group_new(LOOPS);
    assert_non_null(h->group);
    for (unsigned i = 0; i < LOOPS; i++)
        h->fleets[i] = fake_fleet_new(h->fleets[0], h->group, i);
    list_init(&h->account.waiting);
    h->account.purse = &h->purse;
    *state = h;
    return 0;
}

static int down(void **state)
{
    struct house *h = *state;

    loop_fake_settle(h->fleets[0]->loop);
    for (unsigned i = LOOPS; i-- > 0;) {
        void *fleet = h->fleets[i];

        (void)fake_fleet_down(&fleet);
    }
    registry_group_free(h->group);
    free(h);
    return 0;
}

static void settle(struct house *h)
{
    loop_fake_settle(h->fleets[0]->loop);
    for (unsigned i = 0; i < LOOPS; i++)
        fake_fleet_check(h->fleets[i]);
}

/* Where a request for the model that arrives at `here` would go. */
static unsigned place(struct house *h, unsigned here, unsigned model)
{
    const struct directory_ask ask = {.here = here, .min_trust = TRUST_NONE};

    return directory_place(h->fleets[here]->models[model]->row, &ask);
}

/* A provider that is replaced is freed: the fleet forgets it. */
static void forget(struct fake_fleet *f, const struct provider *p)
{
    for (size_t i = 0; i < f->n_providers; i++) {
        if (f->providers[i] == p)
            f->providers[i] = NULL;
    }
}

/* --- what is published --- */

static void what_a_loop_can_offer_is_seen_by_the_others_as_it_changes(void **state)
{
    struct house *h = *state;
    struct provider *p = fake_fleet_add(h->fleets[2], TRUST_SELF_SIGNED, 1);
    struct attempt attempts[4];

    assert_int_equal(place(h, 0, 0), 2);
    assert_int_equal(place(h, 0, 1), 0); /* nobody has that */
    for (int i = 0; i < 4; i++) {
        char id[8] = {(char)('a' + i)};

        fake_fleet_take(p, 0, id, &attempts[i], NULL);
    }
    assert_int_equal(place(h, 0, 0), 2); /* it is full: to wait */
    assert_int_equal(
        directory_free_elsewhere(h->fleets[0]->models[0]->row, &(struct directory_ask){.here = 0}),
        0);
    fake_fleet_add(h->fleets[1], TRUST_SELF_SIGNED, 1);
    assert_int_equal(place(h, 0, 0), 1);
    for (int i = 0; i < 4; i++)
        registry_detach(&attempts[i], &(struct attempt_result){.end = ATTEMPT_BLAMELESS}, false);
    fake_fleet_leave(h->fleets[2], p, false);
    assert_int_equal(place(h, 2, 0), 1);
}

static void the_bounds_of_a_request_are_those_of_all_loops(void **state)
{
    struct house *h = *state;
    const struct model *m = h->fleets[0]->models[0];
    const struct fake_member small = {.n_models = 1,
                                      .slots = 1,
                                      .trust = TRUST_SELF_SIGNED,
                                      .context_length = 2048,
                                      .template_overhead = 40};
    struct provider *p = fake_fleet_add_with(h->fleets[1], &small);

    assert_int_equal(model_context(m), 2048);
    assert_int_equal(model_overhead(m), 40);
    fake_fleet_leave(h->fleets[1], p, false);
    assert_int_equal(model_context(m), INT64_MAX);
    assert_int_equal(model_overhead(m), TEMPLATE_OVERHEAD_TOKENS);
}

static void a_model_that_only_another_loop_knows_is_known_to_all(void **state)
{
    struct house *h = *state;
    struct model *there = model_add(h->fleets[1]->reg, STR("of one loop"));
    struct model *here = registry_model(h->fleets[0]->reg, STR("of one loop"));

    assert_non_null(there);
    assert_non_null(here);
    assert_ptr_equal(here->row, there->row);
    assert_null(registry_model(h->fleets[0]->reg, STR("of none")));
}

/* --- rooms and who waits --- */

static void called(struct queue_ticket *t)
{
    (void)t;
}

/* Who waits here takes the slot. */
struct taker {
    struct queue_ticket ticket;
    struct provider *provider;
    struct attempt attempt;
};

static bool take(void *ud, struct model *m)
{
    struct taker *t = ud;

    if (m != t->ticket.model || !queue_waits(&t->ticket))
        return false;
    queue_leave(&t->ticket);
    fake_fleet_take(t->provider, 0, "taken", &t->attempt, NULL);
    return true;
}

static void a_free_offer_is_told_of_who_waits_elsewhere_if_nobody_here_takes_it(void **state)
{
    const struct queue_limits limits = {10, 10};
    const struct fake_member one_slot = {.trust = TRUST_HARDWARE, .n_models = 2, .slots = 1};
    struct house *h = *state;
    struct fake_fleet *f = h->fleets[2];
    struct queue_ticket there = {.loop = h->fleets[0]->loop,
                                 .model = h->fleets[0]->models[0],
                                 .account = &h->account,
                                 .min_trust = TRUST_SELF_SIGNED,
                                 .called = called,
                                 .expired = called};
    struct taker here = {.ticket = there};

    assert_int_equal(queue_wait(&there, &limits, WAIT_US), 0);
    fake_fleet_add(f, TRUST_NONE, 2);
    assert_int_equal(f->n_room[0], 0); /* it would not do */
    here.provider = fake_fleet_add_with(f, &one_slot);
    assert_int_equal(f->n_room[0], 1);
    assert_int_equal(f->n_room[1], 0);

    here.ticket.loop = f->loop;
    here.ticket.model = f->models[0];
    f->on_capacity = take;
    f->on_capacity_ud = &here;
    assert_int_equal(queue_wait(&here.ticket, &limits, WAIT_US), 0);
    offers_update(here.provider);
    assert_non_null(here.attempt.provider);
    assert_int_equal(f->n_room[0], 1);
    registry_detach(&here.attempt, &(struct attempt_result){.end = ATTEMPT_BLAMELESS}, false);
    assert_int_equal(f->n_room[0], 2);
    queue_leave(&there);
    offers_update(here.provider);
    assert_int_equal(f->n_room[0], 2);
}

/* --- keys --- */

static void a_key_proven_on_another_loop_takes_its_record_along_and_ends_the_older_one(void **state)
{
    struct house *h = *state;
    struct provider *older = fake_fleet_add(h->fleets[0], TRUST_SELF_SIGNED, 1), *p;

    fake_fleet_prove(older, KEY);
    for (int i = 0; i < 20; i++)
        fake_fleet_end(older, ATTEMPT_FAULT);
    settle(h);
    assert_int_equal(older->offers[0].gate, GATE_BREAKER);

    p = fake_fleet_add(h->fleets[1], TRUST_SELF_SIGNED, 1);
    forget(h->fleets[0], older);
    fake_fleet_prove(p, KEY);
    offers_update(p);
    assert_int_equal(p->offers[0].gate, GATE_CHALLENGE_MISSED);
    settle(h);
    assert_int_equal(h->fleets[0]->reg->counts.connected, 0);
    assert_int_equal(p->offers[0].gate, GATE_BREAKER); /* R6, FR-1: not washed clean */
    assert_true(p->record->reputation.failed > 0);
    assert_null(record_find(&h->fleets[0]->reg->records, KEY));
    assert_ptr_equal(record_find(&h->fleets[1]->reg->records, KEY), p->record);
}

static void a_distrusted_key_is_distrusted_on_every_loop(void **state)
{
    struct house *h = *state;
    struct provider *older = fake_fleet_add(h->fleets[0], TRUST_SELF_SIGNED, 1), *p;

    fake_fleet_prove(older, KEY);
    provider_distrust(older, TRUST_REASON_PLAINTEXT_CHUNK);
    fake_fleet_leave(h->fleets[0], older, false); /* nobody holds the record any more */
    p = fake_fleet_add(h->fleets[2], TRUST_SELF_SIGNED, 1);
    fake_fleet_prove(p, KEY);
    settle(h);
    assert_true(p->record->distrusted);
    assert_int_equal(gate_of_provider(p, 0), GATE_DISTRUSTED);
}

/* Three at once: each later one finds its way to where the key has gone meanwhile. */
static void claims_follow_the_key_and_the_last_one_has_it(void **state)
{
    struct house *h = *state;
    struct provider *first = fake_fleet_add(h->fleets[0], TRUST_SELF_SIGNED, 1);
    struct provider *second = fake_fleet_add(h->fleets[1], TRUST_SELF_SIGNED, 1);
    struct provider *third = fake_fleet_add(h->fleets[2], TRUST_SELF_SIGNED, 1);

    fake_fleet_prove(first, KEY);
    fake_fleet_end(first, ATTEMPT_FAULT);
    forget(h->fleets[0], first);
    fake_fleet_prove(second, KEY);
    forget(h->fleets[1], second);
    fake_fleet_prove(third, KEY);
    settle(h);
    assert_int_equal(h->fleets[0]->reg->counts.connected, 0);
    assert_int_equal(h->fleets[1]->reg->counts.connected, 0);
    assert_int_equal(h->fleets[2]->reg->counts.connected, 1);
    assert_true(third->record->reputation.failed > 0);
    assert_true(third->challenge.passed);
}

static void a_claim_whose_provider_is_gone_leaves_the_record_where_it_went(void **state)
{
    struct house *h = *state;
    struct provider *older = fake_fleet_add(h->fleets[0], TRUST_SELF_SIGNED, 1), *p;

    fake_fleet_prove(older, KEY);
    fake_fleet_end(older, ATTEMPT_FAULT);
    forget(h->fleets[0], older);
    p = fake_fleet_add(h->fleets[1], TRUST_SELF_SIGNED, 1);
    fake_fleet_prove(p, KEY);
    fake_fleet_leave(h->fleets[1], p, false); /* before the claim is back */
    settle(h);
    assert_non_null(record_find(&h->fleets[1]->reg->records, KEY));

    p = fake_fleet_add(h->fleets[0], TRUST_SELF_SIGNED, 1);
    fake_fleet_prove(p, KEY);
    settle(h);
    assert_true(p->record->reputation.failed > 0);
}

static void a_key_of_which_nothing_is_known_is_nobodys_when_its_connection_ends(void **state)
{
    struct house *h = *state;
    struct provider *p = fake_fleet_add(h->fleets[0], TRUST_SELF_SIGNED, 1);

    fake_fleet_prove(p, KEY);
    assert_int_equal(registry_group_claim_key(h->group, KEY, 1), 0);
    fake_fleet_leave(h->fleets[0], p, false);
    assert_int_equal(registry_group_claim_key(h->group, KEY, 1), 1);
    registry_group_forget_key(h->group, KEY, 0); /* it is not its own */
    assert_int_equal(registry_group_claim_key(h->group, KEY, 2), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, up, down)
        TEST(what_a_loop_can_offer_is_seen_by_the_others_as_it_changes),
        TEST(the_bounds_of_a_request_are_those_of_all_loops),
        TEST(a_model_that_only_another_loop_knows_is_known_to_all),
        TEST(a_free_offer_is_told_of_who_waits_elsewhere_if_nobody_here_takes_it),
        TEST(a_key_proven_on_another_loop_takes_its_record_along_and_ends_the_older_one),
        TEST(a_distrusted_key_is_distrusted_on_every_loop),
        TEST(claims_follow_the_key_and_the_last_one_has_it),
        TEST(a_claim_whose_provider_is_gone_leaves_the_record_where_it_went),
        TEST(a_key_of_which_nothing_is_known_is_nobodys_when_its_connection_ends),
    };

    return cmocka_run_group_tests_name("registries of several loops", tests, NULL, NULL);
}
