/* SPDX-License-Identifier: Apache-2.0 */
/* The store's own thread: submitted from several threads, polled from one, closed while busy. Runs
 * under TSan too. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/list.h"
#include "unit/ledger/fake_ledger.h"

enum { SUBMITTERS = 4, RESERVES_EACH = 250, AFFORDABLE = 600 };

/* What the store thread's wake-up reaches. */
struct bell {
    pthread_mutex_t lock;
    pthread_cond_t rung;
    bool set;
    int rings;
};

struct world {
    struct fake_ledger *l;
    struct bell bell;
    struct store *store;
    int finished, held, refused;
};

struct tracked {
    struct ledger_reserve reserve;
    struct world *world;
};

struct submitter {
    pthread_t thread;
    struct world *world;
    struct tracked ops[RESERVES_EACH];
};

static void ring(void *ud)
{
    struct bell *b = ud;

    pthread_mutex_lock(&b->lock);
    b->set = true;
    b->rings++;
    pthread_cond_signal(&b->rung);
    pthread_mutex_unlock(&b->lock);
}

static void wait_for_ring(struct bell *b)
{
    pthread_mutex_lock(&b->lock);
    while (!b->set)
        pthread_cond_wait(&b->rung, &b->lock);
    b->set = false;
    pthread_mutex_unlock(&b->lock);
}

static void open_threaded(struct world *w, struct fake_ledger *l)
{
    struct store_config config = fake_store_config(&l->f);

    *w = (struct world){
        .l = l, .bell = {.lock = PTHREAD_MUTEX_INITIALIZER, .rung = PTHREAD_COND_INITIALIZER}};
    store_close(l->f.store);
    l->f.store = NULL;
    config.threaded = true;
    config.clock = clock_system();
    config.wake = ring;
    config.wake_ud = &w->bell;
    assert_int_equal(store_open(&config, &w->store, NULL), 0);
}

static void reserve_done(struct store_op *op)
{
    struct tracked *t = list_owner(op, struct tracked, reserve.op);

    t->world->finished++;
    t->world->held += op->rc == 0;
    t->world->refused += op->rc == ERR_FUNDS;
}

static void *submit_all(void *ud)
{
    struct submitter *s = ud;

    for (int i = 0; i < RESERVES_EACH; i++)
        store_submit(s->world->store, &s->ops[i].reserve.op);
    return NULL;
}

static void prepare(struct submitter *s, struct world *w, int n)
{
    s->world = w;
    for (int i = 0; i < RESERVES_EACH; i++) {
        char id[16];

        snprintf(id, sizeof id, "r%d-%d", n, i);
        s->ops[i].world = w;
        s->ops[i].reserve = reserve_of(id, "bob", 1);
        s->ops[i].reserve.op.done = reserve_done;
    }
}

static void many_threads_never_overdraw_and_share_commits(void **state)
{
    static struct submitter submitters[SUBMITTERS];
    struct fake_ledger *l = *state;
    struct world w;
    struct store_stats stats;

    assert_int_equal(ledger_credit(l->db, STR("bob"), AFFORDABLE, STR("bob's"), 0), 0);
    open_threaded(&w, l);
    for (int i = 0; i < SUBMITTERS; i++) {
        prepare(&submitters[i], &w, i);
        assert_int_equal(pthread_create(&submitters[i].thread, NULL, submit_all, &submitters[i]),
                         0);
    }
    while (w.finished < SUBMITTERS * RESERVES_EACH) {
        wait_for_ring(&w.bell);
        store_poll(w.store);
    }
    for (int i = 0; i < SUBMITTERS; i++)
        pthread_join(submitters[i].thread, NULL);
    stats = store_stats(w.store);
    assert_int_equal(w.held, AFFORDABLE);
    assert_int_equal(w.refused, SUBMITTERS * RESERVES_EACH - AFFORDABLE);
    assert_int_equal(stats.ops, SUBMITTERS * RESERVES_EACH);
    assert_in_range(stats.batches, 4, SUBMITTERS * RESERVES_EACH / 2);
    assert_in_range(w.bell.rings, 1, (int)stats.batches); /* one wake-up a batch at most */
    store_close(w.store);
    assert_int_equal(balance(l, "bob"), 0);
    assert_balanced(l, AFFORDABLE, AFFORDABLE);
}

static void run_sync_waits_for_the_thread(void **state)
{
    struct fake_ledger *l = *state;
    struct world w;
    struct ledger_reserve r = reserve_of("r1", "alice", 1000);
    struct ledger_settle s = settle_of("r1", LEDGER_COMPLETED);

    open_threaded(&w, l);
    assert_int_equal(store_run_sync(w.store, &r.op), 0);
    assert_int_equal(store_run_sync(w.store, &s.op), 0);
    assert_int_equal(s.balance_micro_usd, 9500);
    store_close(w.store);
    assert_balanced(l, 0, 0);
}

static void closing_a_busy_store_loses_nothing(void **state)
{
    static struct submitter s;
    struct fake_ledger *l = *state;
    struct world w;

    assert_int_equal(ledger_credit(l->db, STR("bob"), AFFORDABLE, STR("bob's"), 0), 0);
    open_threaded(&w, l);
    prepare(&s, &w, 0);
    submit_all(&s);
    store_close(w.store);
    assert_int_equal(w.finished, RESERVES_EACH);
    assert_int_equal(w.held, RESERVES_EACH);
    assert_balanced(l, RESERVES_EACH, RESERVES_EACH);
}

struct counted_lookup {
    struct key_lookup_op k;
    int done;
};

static void count_done(struct store_op *op)
{
    list_owner(op, struct counted_lookup, k.op)->done++;
}

/* R16: no real time is waited for; the lock is let go once the key has been found. */
static void a_foreign_writer_holds_up_reserves_but_no_key(void **state)
{
    struct fake_ledger *l = *state;
    const struct rand_src rand = rand_system();
    char key[KEY_TEXT_BYTES];
    uint8_t hash[KEY_HASH_BYTES];
    struct counted_lookup lookup = {0};
    struct world w;
    struct tracked reserve = {.world = &w};

    assert_int_equal(key_create(l->db, STR("alice"), &rand, 1, key), 0);
    key_hash(str_from(key), hash);
    key_lookup_op_init(&lookup.k, hash, count_done);
    reserve.reserve = reserve_of("r1", "alice", 1000);
    reserve.reserve.op.done = reserve_done;
    open_threaded(&w, l);
    assert_int_equal(db_begin(l->db), 0);
    store_submit(w.store, &reserve.reserve.op);
    store_submit(w.store, &lookup.k.op);
    while (!lookup.done) {
        wait_for_ring(&w.bell);
        store_poll(w.store);
    }
    assert_int_equal(lookup.k.op.rc, 0);
    assert_int_equal(w.finished, 0);
    db_rollback(l->db);
    while (!w.finished) {
        wait_for_ring(&w.bell);
        store_poll(w.store);
    }
    assert_int_equal(w.held, 1);
    store_close(w.store);
    assert_balanced(l, 1, 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(t) cmocka_unit_test_setup_teardown(t, fake_ledger_setup, fake_ledger_teardown)
        TEST(many_threads_never_overdraw_and_share_commits),
        TEST(run_sync_waits_for_the_thread),
        TEST(closing_a_busy_store_loses_nothing),
        TEST(a_foreign_writer_holds_up_reserves_but_no_key),
    };

    return cmocka_run_group_tests_name("ledger: threaded store", tests, NULL, NULL);
}
