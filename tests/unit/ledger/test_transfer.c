/* SPDX-License-Identifier: Apache-2.0 */
/* Sums of balances that are written once a batch: read before that, undone with their operation,
 * and never a transfer that does not balance. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/list.h"
#include "ledger/transfer.h"
#include "unit/ledger/fake_ledger.h"

/* An operation that posts one transfer, says what two accounts have then, and returns `rc_after`.
 */
struct post_op {
    struct store_op op;
    struct transfer t;
    int rc_after, rc_post;
    int64_t alice, holds; /* balances as the ledger says inside the transaction */
};

static int post_run(struct db *db, struct store_op *op)
{
    struct post_op *p = list_owner(op, struct post_op, op);

    p->rc_post = transfer_post(db, &p->t);
    if (p->rc_post < 0)
        return p->rc_post;
    if (ledger_balance(db, STR("alice"), &p->alice) < 0 ||
        ledger_balance(db, STR("holds"), &p->holds) < 0)
        return ERR_STORE;
    return p->rc_after;
}

static int post_only_run(struct db *db, struct store_op *op)
{
    return transfer_post(db, &list_owner(op, struct post_op, op)->t);
}

/* From alice into the holds, as a credit: those need no hold. */
static struct post_op post_of(const char *reference, int64_t micro_usd)
{
    struct post_op p = {.op = {.run = post_run},
                        .t = {.kind = "credit", .reference = str_from(reference)}};

    transfer_add(&p.t, 5, -micro_usd); /* alice: the first account after the fixed ones */
    transfer_add(&p.t, ACCOUNT_HOLDS, micro_usd);
    return p;
}

static void run_all(struct fake_ledger *l, struct store_op *const *ops, size_t n)
{
    for (size_t i = 0; i < n; i++)
        store_submit(l->f.store, ops[i]);
    store_pump(l->f.store);
    store_poll(l->f.store);
}

static void a_balance_read_in_the_batch_has_what_the_batch_added(void **state)
{
    struct fake_ledger *l = *state;
    struct post_op first = post_of("a", 10), second = post_of("b", 20);
    struct ledger_reserve reserve = reserve_of("r1", "alice", 1000);
    struct store_op *const ops[] = {&first.op, &reserve.op, &second.op};

    run_all(l, ops, 3);
    assert_int_equal(first.alice, 9990);
    assert_int_equal(reserve.balance_micro_usd, 8990);
    assert_int_equal(second.alice, 8970);
    assert_int_equal(second.holds, 1030);
    assert_int_equal(balance(l, "alice"), 8970);
}

static void what_an_undone_operation_added_is_not_written(void **state)
{
    struct fake_ledger *l = *state;
    struct ledger_reserve before = reserve_of("r1", "alice", 1000);
    struct post_op undone = post_of("a", 10);
    struct ledger_reserve after = reserve_of("r2", "alice", 2000);
    struct store_op *const ops[] = {&before.op, &undone.op, &after.op};
    struct store_stats stats;

    undone.rc_after = ERR_CONFLICT; /* says no after it has moved money */
    run_all(l, ops, 3);
    stats = store_stats(l->f.store);
    assert_int_equal(stats.repeated_batches, 1);
    assert_int_equal(stats.failed_batches, 0);
    assert_int_equal(undone.op.rc, ERR_CONFLICT);
    assert_int_equal(before.balance_micro_usd, 9000);
    assert_int_equal(after.balance_micro_usd, 7000);
    assert_balanced(l, 2, 3000);
    assert_int_equal(balance(l, "alice"), 7000);
}

/* The sum is refused by the table only when it is written: before the commit. */
static void an_overdraft_found_at_the_commit_fails_its_operation_alone(void **state)
{
    struct fake_ledger *l = *state;
    struct ledger_reserve good = reserve_of("r1", "alice", 1000);
    struct post_op overdraft = post_of("a", -1500); /* out of the holds, which have less */
    struct store_op *const ops[] = {&overdraft.op, &good.op};

    overdraft.op.run = post_only_run;
    run_all(l, ops, 2);
    assert_int_equal(overdraft.op.rc, ERR_STORE);
    assert_int_equal(good.op.rc, 0);
    assert_balanced(l, 1, 1000);
    assert_int_equal(balance(l, "alice"), 9000);
}

/* The same in a batch that is repeated for another's sake: refused at its savepoint's end. */
static void an_overdraft_in_a_repeated_batch_fails_alone_too(void **state)
{
    struct fake_ledger *l = *state;
    struct post_op undone = post_of("a", 10), overdraft = post_of("b", -500);
    struct ledger_reserve good = reserve_of("r1", "alice", 1000);
    struct store_op *const ops[] = {&undone.op, &overdraft.op, &good.op};
    struct store_stats stats;

    undone.rc_after = ERR_CONFLICT;
    overdraft.op.run = post_only_run; /* reads no balance, so that nothing is written before */
    run_all(l, ops, 3);
    stats = store_stats(l->f.store);
    assert_int_equal(stats.repeated_batches, 1);
    assert_int_equal(stats.failed_batches, 0);
    assert_int_equal(undone.op.rc, ERR_CONFLICT);
    assert_int_equal(overdraft.op.rc, ERR_STORE);
    assert_int_equal(good.op.rc, 0);
    assert_balanced(l, 1, 1000);
    assert_int_equal(balance(l, "alice"), 9000);
}

static void a_line_for_an_account_that_is_not_there_is_refused(void **state)
{
    struct fake_ledger *l = *state;
    struct post_op p = post_of("a", 10);

    p.t.lines[1].account = 999;
    assert_int_equal(run(l, &p.op), ERR_STORE);
    assert_balanced(l, 0, 0);
    assert_int_equal(balance(l, "alice"), 10000);
}

static int many_run(struct db *db, struct store_op *op)
{
    int rc = 0;

    (void)op;
    for (int i = 0; rc == 0 && i < 1100; i++) {
        char name[16];

        snprintf(name, sizeof name, "many-%d", i);
        rc = ledger_credit(db, str_from(name), 1 + i, str_from(name), 0);
    }
    return rc;
}

/* More accounts than are summed at a time. */
static void a_transaction_over_many_accounts_loses_none(void **state)
{
    struct fake_ledger *l = *state;
    struct store_op many = {.run = many_run};

    assert_int_equal(run(l, &many), 0);
    assert_int_equal(balance(l, "many-0"), 1);
    assert_int_equal(balance(l, "many-1099"), 1100);
    assert_int_equal(balance(l, "world"), -10000 - 1100 * 1101 / 2);
    assert_balanced(l, 0, 0);
}

static int settle_many_run(struct db *db, struct store_op *op)
{
    (void)op;
    for (int i = 0; i < 600; i++) { /* transfers without a read between them */
        struct transfer t = {.kind = "credit", .at_us = 1};
        char name[16];
        int64_t id;

        snprintf(name, sizeof name, "many-%d", i);
        if (account_ensure(db, str_from(name), &id) < 0)
            return ERR_STORE;
        transfer_add(&t, ACCOUNT_WORLD, -7);
        transfer_add(&t, id, 7);
        if (transfer_post(db, &t) < 0)
            return ERR_STORE;
    }
    return 0;
}

static void sums_are_written_when_there_are_too_many(void **state)
{
    struct fake_ledger *l = *state;
    struct store_op many = {.run = settle_many_run};

    assert_int_equal(run(l, &many), 0);
    assert_int_equal(balance(l, "many-0"), 7);
    assert_int_equal(balance(l, "many-599"), 7);
    assert_balanced(l, 0, 0);
}

static void an_account_has_one_line_and_an_amount_of_0_none(void **state)
{
    struct transfer t = {.kind = "credit"};

    (void)state;
    transfer_add(&t, 1, -5);
    transfer_add(&t, 2, 0);
    transfer_add(&t, 3, 4);
    transfer_add(&t, 1, 1);
    assert_int_equal(t.n_lines, 2);
    assert_int_equal(transfer_of(&t, 1), -4);
    assert_int_equal(transfer_of(&t, 3), 4);
    assert_int_equal(transfer_of(&t, 2), 0);
}

/* Post it in a process of its own; the signal that ended that, or 0. */
static int signal_of_posting(struct fake_ledger *l, const struct transfer *t)
{
    pid_t pid = fork();
    int status;

    assert_true(pid >= 0);
    if (pid == 0) {
        signal(SIGABRT, SIG_DFL);
        if (!freopen("/dev/null", "w", stderr))
            _exit(1);
        (void)transfer_post(l->db, t);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void a_transfer_that_does_not_sum_to_zero_ends_the_process(void **state)
{
    struct fake_ledger *l = *state;
    struct transfer off = post_of("a", 10).t, one = post_of("b", 10).t, wraps = post_of("c", 10).t;

    off.lines[1].micro_usd++;
    one.n_lines = 1;
    wraps.lines[0].micro_usd = INT64_MIN;
    wraps.lines[1].micro_usd = INT64_MIN;
    assert_int_equal(signal_of_posting(l, &off), SIGABRT);
    assert_int_equal(signal_of_posting(l, &one), SIGABRT);
    assert_int_equal(signal_of_posting(l, &wraps), SIGABRT);
    assert_balanced(l, 0, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(t) cmocka_unit_test_setup_teardown(t, fake_ledger_setup, fake_ledger_teardown)
        TEST(a_balance_read_in_the_batch_has_what_the_batch_added),
        TEST(what_an_undone_operation_added_is_not_written),
        TEST(an_overdraft_found_at_the_commit_fails_its_operation_alone),
        TEST(an_overdraft_in_a_repeated_batch_fails_alone_too),
        TEST(a_line_for_an_account_that_is_not_there_is_refused),
        TEST(a_transaction_over_many_accounts_loses_none),
        TEST(sums_are_written_when_there_are_too_many),
        TEST(an_account_has_one_line_and_an_amount_of_0_none),
        TEST(a_transfer_that_does_not_sum_to_zero_ends_the_process),
    };

    return cmocka_run_group_tests_name("ledger: transfers", tests, NULL, NULL);
}
