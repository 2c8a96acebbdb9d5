/* SPDX-License-Identifier: Apache-2.0 */
/* kill -9 at random moments: a child reserves, checkpoints and settles as fast as it can and says
 * through a pipe what was reported durable to it; it is killed, and the store must then balance,
 * hold everything that was reported, and have no open hold after recovery. */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/list.h"
#include "unit/ledger/fake_ledger.h"

enum { ROUNDS = 20, IN_FLIGHT = 32, SEED = 20261123 };

/* What the child reports: fits a pipe's atomic write. */
struct report {
    int32_t request;
    bool settled; /* else reserved */
};

struct job {
    struct ledger_reserve reserve;
    struct ledger_settle settle;
    int32_t request;
};

struct child {
    struct store *store;
    int round, out;
    int32_t next_request;
    struct job jobs[IN_FLIGHT];
    struct ledger_checkpoint checkpoint;
    bool checkpoint_busy;
};

/* The child has one, and callbacks carry only the operation. */
static struct child child;

static void id_of(int round, int32_t request, char ret_id[static LEDGER_ID_BYTES])
{
    snprintf(ret_id, LEDGER_ID_BYTES, "round-%d-request-%d", round, (int)request);
}

/* --- the child --- */

static void tell(int32_t request, bool settled)
{
    struct report r;

    memset(&r, 0, sizeof r);
    r.request = request;
    r.settled = settled;
    if (write(child.out, &r, sizeof r) != (ssize_t)sizeof r)
        _exit(2);
}

static void start(struct job *j);

static void settle_done(struct store_op *op)
{
    struct job *j = list_owner(op, struct job, settle.op);

    if (op->rc < 0)
        _exit(3);
    tell(j->request, true);
    start(j);
}

static void checkpoint_done(struct store_op *op)
{
    (void)op;
    child.checkpoint_busy = false;
}

static void checkpoint(const struct job *j)
{
    struct ledger_checkpoint_row *row = &child.checkpoint.rows[0];

    if (child.checkpoint_busy)
        return;
    ledger_checkpoint_init(&child.checkpoint, checkpoint_done);
    child.checkpoint.n = 1;
    memcpy(row->request_id, j->reserve.request_id, sizeof row->request_id);
    snprintf(row->provider_account, sizeof row->provider_account, "%s", PROVIDER);
    row->prompt_tokens = 100;
    row->delivered_tokens = 10;
    child.checkpoint_busy = true;
    store_submit(child.store, &child.checkpoint.op);
}

static void reserve_done(struct store_op *op)
{
    struct job *j = list_owner(op, struct job, reserve.op);

    if (op->rc < 0)
        _exit(4);
    tell(j->request, false);
    checkpoint(j);
    j->settle =
        settle_of(j->reserve.request_id, j->request % 3 == 0 ? LEDGER_RELEASED : LEDGER_COMPLETED);
    j->settle.op.done = settle_done;
    store_submit(child.store, &j->settle.op);
}

static void start(struct job *j)
{
    char id[LEDGER_ID_BYTES];

    j->request = child.next_request++;
    id_of(child.round, j->request, id);
    j->reserve = reserve_of(id, "alice", 1000);
    snprintf(j->reserve.boot_id, sizeof j->reserve.boot_id, "boot-%d", child.round);
    j->reserve.op.done = reserve_done;
    store_submit(child.store, &j->reserve.op);
}

static void wake(void *ud)
{
    if (write(*(int *)ud, "", 1) != 1)
        _exit(5);
}

static _Noreturn void run_child(struct fake_ledger *l, int round, int out)
{
    struct store_config config = fake_store_config(&l->f);
    int bell[2];
    char drain[256];

    if (pipe(bell) < 0)
        _exit(6);
    config.threaded = true;
    config.clock = clock_system();
    config.wake = wake;
    config.wake_ud = &bell[1];
    child.round = round;
    child.out = out;
    if (store_open(&config, &child.store, NULL) < 0)
        _exit(7);
    for (int i = 0; i < IN_FLIGHT; i++)
        start(&child.jobs[i]);
    while (read(bell[0], drain, sizeof drain) > 0)
        store_poll(child.store);
    _exit(8);
}

/* --- the parent --- */

struct reported {
    int32_t reserved, settled; /* counts */
    int32_t settled_ids[1 << 16];
    int32_t reserved_ids[1 << 16];
};

static bool read_report(int fd, struct reported *got)
{
    struct report r;
    ssize_t n = read(fd, &r, sizeof r);

    if (n <= 0)
        return false;
    assert_int_equal(n, sizeof r);
    if (r.settled)
        got->settled_ids[got->settled++] = r.request;
    else
        got->reserved_ids[got->reserved++] = r.request;
    return true;
}

/* Let the child work until it has reported `reports` times and then for `extra_us`: somewhere in a
 * batch, a commit or between them. */
static void kill_somewhere(pid_t pid, int fd, int reports, long extra_us, struct reported *got)
{
    struct timespec extra = {.tv_nsec = extra_us * 1000};
    int status;

    while (reports-- > 0)
        assert_true(read_report(fd, got));
    nanosleep(&extra, NULL);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status)); /* it had not given up by itself */
    while (read_report(fd, got))
        ;
}

static void assert_reported_is_there(struct fake_ledger *l, int round, const struct reported *got)
{
    static const char sql[] = "SELECT settled_us IS NOT NULL FROM holds WHERE request_id = ?1";

    for (int32_t i = 0; i < got->reserved + got->settled; i++) {
        bool settled = i >= got->reserved;
        struct db_stmt *st = db_stmt(l->db, sql);
        char id[LEDGER_ID_BYTES];

        id_of(round, settled ? got->settled_ids[i - got->reserved] : got->reserved_ids[i], id);
        db_bind_str(st, 1, str_from(id));
        if (db_step(st) <= 0)
            fail_msg("%s was reported durable and is not there", id);
        if (settled && !db_col_i64(st, 0))
            fail_msg("%s was reported settled and is open", id);
        db_reset(st);
    }
}

static void recover(struct fake_ledger *l, int64_t *ret_found)
{
    struct ledger_sweep w;

    ledger_sweep_init(&w, NULL);
    w.now_wall_us = WALL_US;
    w.now_mono_us = MONO_US;
    snprintf(w.boot_id, sizeof w.boot_id, "%s", BOOT_NOW);
    assert_int_equal(run(l, &w.op), 0);
    *ret_found += w.settled + w.released;
}

/* Locks belong to a process: nothing of the database may be open across the fork. */
static void close_all(struct fake_ledger *l)
{
    db_close(l->db);
    l->db = NULL;
    store_close(l->f.store);
    l->f.store = NULL;
}

static void open_all(struct fake_ledger *l)
{
    fake_store_reopen(&l->f);
    l->db = fake_store_side_door(&l->f);
}

static void a_killed_process_leaves_a_ledger_that_balances(void **state)
{
    static struct reported got;
    struct fake_ledger *l = *state;
    int64_t found = 0;

    assert_int_equal(
        ledger_credit(l->db, STR("alice"), LEDGER_CREDIT_MAX_MICRO_USD, STR("more"), 0), 0);
    srandom(SEED);
    for (int round = 0; round < ROUNDS; round++) {
        int reports = (int)(random() % 200), fds[2];
        long extra_us = random() % 5000;
        struct ledger_report report;
        pid_t pid;

        close_all(l);
        assert_int_equal(pipe(fds), 0);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
            run_child(l, round, fds[1]);
        close(fds[1]);
        got.reserved = got.settled = 0;
        kill_somewhere(pid, fds[0], reports, extra_us, &got);
        close(fds[0]);

        open_all(l);
        report = audit(l);
        assert_true(ledger_report_ok(&report)); /* before recovery too */
        assert_reported_is_there(l, round, &got);
        recover(l, &found);
        assert_balanced(l, 0, 0);
    }
    assert_true(found > 0); /* some were killed with money held */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_killed_process_leaves_a_ledger_that_balances,
                                        fake_ledger_setup, fake_ledger_teardown),
    };

    return cmocka_run_group_tests_name("ledger: kill -9", tests, NULL, NULL);
}
