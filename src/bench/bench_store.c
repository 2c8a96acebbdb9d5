/* SPDX-License-Identifier: Apache-2.0 */
/* The durable ledger measured alone: reserve and settle through the store's thread. */
#include "bench/bench_store.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/list.h"
#include "ledger/ledger.h"

enum { CONSUMERS = 16, PROVIDERS = 8, FLUSHES = 100, PATH_BYTES = 512 };

#define CREDIT_MICRO_USD  LEDGER_CREDIT_MAX_MICRO_USD
#define CEILING_MICRO_USD 500

struct samples {
    int64_t *us;
    size_t n, cap;
};

struct bench {
    struct store *store;
    struct clock clock;
    struct rand_src rand;
    int pipe[2]; /* the store thread wakes us through it */
    struct samples commits;
    int64_t started, finished, failed;
    int64_t to_start; /* at saturation: how many follow the ones in flight */
    char boot_id[RAND_UUID_BYTES];
};

/* One request: a hold, then its settlement, then its place is free again. */
struct job {
    struct bench *bench;
    struct ledger_reserve reserve;
    struct ledger_settle settle;
};

static int bench_store_by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static int64_t bench_store_percentile(struct samples *s, int percent)
{
    if (s->n == 0)
        return 0;
    qsort(s->us, s->n, sizeof *s->us, bench_store_by_value);
    return s->us[(s->n - 1) * (size_t)percent / 100];
}

static void bench_store_sample(struct samples *s, int64_t us)
{
    if (s->n < s->cap)
        s->us[s->n++] = us;
}

/* --- the disk alone --- */

static int bench_store_measure_flushes(const struct bench *b, const char *dir,
                                       struct samples *flushes)
{
    static const char block[4096] = {1};
    char path[PATH_BYTES];
    int rc = 0, fd;

    snprintf(path, sizeof path, "%s/bench-flush", dir);
    fd = open(path, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return ERR_IO;
    for (int i = 0; rc == 0 && i < FLUSHES; i++) {
        int64_t start = clock_mono_us(&b->clock);

        if (write(fd, block, sizeof block) != sizeof block || fdatasync(fd) < 0)
            rc = ERR_IO;
        bench_store_sample(flushes, clock_mono_us(&b->clock) - start);
    }
    close(fd);
    unlink(path);
    return rc;
}

/* --- requests --- */

static void bench_store_job_start(struct job *j);

static void bench_store_settle_done(struct store_op *op)
{
    struct job *j = list_owner(op, struct job, settle.op);
    struct bench *b = j->bench;

    b->failed += op->rc < 0;
    b->finished++;
    if (b->to_start > 0) {
        b->to_start--;
        bench_store_job_start(j);
    }
}

static void bench_store_reserve_done(struct store_op *op)
{
    struct job *j = list_owner(op, struct job, reserve.op);
    struct ledger_settle *s = &j->settle;

    bench_store_sample(&j->bench->commits, op->committed_us - op->submitted_us);
    j->bench->failed += op->rc < 0;
    ledger_settle_init(s, bench_store_settle_done);
    memcpy(s->request_id, j->reserve.request_id, sizeof s->request_id);
    snprintf(s->provider_account, sizeof s->provider_account, "provider:%lld",
             (long long)(j->bench->finished % PROVIDERS));
    s->outcome = LEDGER_COMPLETED;
    s->price = j->reserve.price;
    s->prompt_tokens = 500;
    s->completion_tokens = 1000;
    s->now_wall_us = clock_wall_us(&j->bench->clock);
    store_submit(j->bench->store, &s->op);
}

static void bench_store_job_start(struct job *j)
{
    struct bench *b = j->bench;
    struct ledger_reserve *r = &j->reserve;

    ledger_reserve_init(r, bench_store_reserve_done);
    rand_uuid(&b->rand, r->request_id);
    snprintf(r->account, sizeof r->account, "bench-%lld", (long long)(b->started % CONSUMERS));
    snprintf(r->model, sizeof r->model, "smollm2-135m-instruct");
    memcpy(r->boot_id, b->boot_id, sizeof r->boot_id);
    r->price = (struct price){PRICE_DEFAULT_INPUT, PRICE_DEFAULT_OUTPUT};
    r->ceiling_micro_usd = CEILING_MICRO_USD;
    r->now_wall_us = clock_wall_us(&b->clock);
    r->now_mono_us = clock_mono_us(&b->clock);
    r->deadline_mono_us = r->now_mono_us + 600 * 1000000LL;
    b->started++;
    store_submit(b->store, &r->op);
}

static void bench_store_wake(void *ud)
{
    const struct bench *b = ud;

    while (write(b->pipe[1], "", 1) < 0 && errno == EINTR)
        ;
}

/* Sleep until the store has something or the time has come; then take what it has. */
static void bench_store_wait_store(struct bench *b, int64_t until_us)
{
    struct pollfd fd = {.fd = b->pipe[0], .events = POLLIN};
    int64_t left_us = until_us - clock_mono_us(&b->clock);
    struct timespec timeout = {.tv_sec = left_us / 1000000, .tv_nsec = left_us % 1000000 * 1000};
    char drain[64];

    if (left_us > 0 && ppoll(&fd, 1, &timeout, NULL) > 0)
        (void)!read(b->pipe[0], drain, sizeof drain);
    store_poll(b->store);
}

static void bench_store_wait_finished(struct bench *b, int64_t n)
{
    while (b->finished < n)
        bench_store_wait_store(b, clock_mono_us(&b->clock) + 100000);
}

/* Open loop: a request starts when its time has come, however late the ones before it are. */
static void bench_store_run_paced(struct bench *b, struct job *jobs, int64_t n, int64_t per_s)
{
    int64_t start = clock_mono_us(&b->clock);

    for (int64_t i = 0; i < n; i++) {
        int64_t due = start + i * 1000000 / per_s;

        while (clock_mono_us(&b->clock) < due)
            bench_store_wait_store(b, due);
        bench_store_job_start(&jobs[i]);
    }
    bench_store_wait_finished(b, n);
}

/* Closed loop: as soon as one is settled the next starts. */
static int64_t bench_store_run_saturated(struct bench *b, struct job *jobs, int64_t n,
                                         int64_t in_flight)
{
    int64_t start = clock_mono_us(&b->clock);
    int64_t goal = b->finished + n;

    b->to_start = n > in_flight ? n - in_flight : 0;
    for (int64_t i = 0; i < in_flight && i < n; i++)
        bench_store_job_start(&jobs[i]);
    bench_store_wait_finished(b, goal);
    return n * 1000000 / (clock_mono_us(&b->clock) - start + 1);
}

/* --- before and after --- */

static int bench_store_credit_run(struct db *db, struct store_op *op)
{
    int rc = 0;

    (void)op;
    for (int i = 0; rc == 0 && i < CONSUMERS; i++) {
        char account[32];

        snprintf(account, sizeof account, "bench-%d", i);
        rc = ledger_credit(db, str_from(account), CREDIT_MICRO_USD, str_from(account), 0);
    }
    return rc;
}

static int bench_store_check_run(struct db *db, struct store_op *op)
{
    struct ledger_report report;
    int rc = ledger_check(db, 0, &report);

    (void)op;
    if (rc == 0 && (!ledger_report_ok(&report) || report.open_holds != 0))
        rc = ERR_INTERNAL;
    return rc;
}

static void bench_store_remove_database(const char *path)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", "-lock"};
    char name[PATH_BYTES + 8];

    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        snprintf(name, sizeof name, "%s%s", path, suffixes[i]);
        unlink(name);
    }
}

static int bench_store_measure(struct bench *b, const struct bench_store_config *c,
                               struct job *jobs, struct samples *flushes,
                               struct bench_store_result *r)
{
    struct store_op credit = {.run = bench_store_credit_run},
                    check = {.run = bench_store_check_run};
    struct store_stats before, between, after;
    int rc = store_run_sync(b->store, &credit);

    if (rc == 0)
        rc = bench_store_measure_flushes(b, c->dir, flushes);
    if (rc < 0)
        return rc;
    before = store_stats(b->store);
    bench_store_run_paced(b, jobs, c->paced_s * c->offered_per_s, c->offered_per_s);
    between = store_stats(b->store);
    r->commit_p50_us = bench_store_percentile(&b->commits, 50);
    r->commit_p95_us = bench_store_percentile(&b->commits, 95);
    r->commit_p99_us = bench_store_percentile(&b->commits, 99);
    rc = bench_store_measure_flushes(b, c->dir, flushes);
    if (rc < 0)
        return rc;
    r->flush_p50_us = bench_store_percentile(flushes, 50);
    r->flush_p95_us = bench_store_percentile(flushes, 95);
    r->requests_per_s = bench_store_run_saturated(b, jobs, c->saturated_requests, c->in_flight);
    after = store_stats(b->store);
    r->paced_ops = (int64_t)(between.ops - before.ops);
    r->paced_batches = (int64_t)(between.batches - before.batches);
    r->saturated_ops = (int64_t)(after.ops - between.ops);
    r->saturated_batches = (int64_t)(after.batches - between.batches);
    return b->failed ? ERR_STORE : store_run_sync(b->store, &check);
}

struct bench_store_config bench_store_defaults(const char *dir)
{
    return (struct bench_store_config){.dir = dir,
                                       .paced_s = 5,
                                       .offered_per_s = 1000,
                                       .saturated_requests = 100000,
                                       .in_flight = 1024};
}

static struct job *bench_store_make_jobs(struct bench *b, size_t n)
{
    struct job *jobs = calloc(n, sizeof *jobs);

    for (size_t i = 0; jobs && i < n; i++)
        jobs[i].bench = b;
    return jobs;
}

int bench_store(const struct bench_store_config *config, struct bench_store_result *ret_result,
                struct err *ret_err)
{
    struct bench b = {.clock = clock_system(), .rand = rand_system(), .pipe = {-1, -1}};
    int64_t paced = config->paced_s * config->offered_per_s;
    size_t n_jobs = (size_t)(paced > config->in_flight ? paced : config->in_flight);
    struct samples flushes = {.cap = 2 * FLUSHES, .us = calloc(2 * FLUSHES, sizeof(int64_t))};
    struct job *jobs = bench_store_make_jobs(&b, n_jobs);
    struct bench_store_result result = {0};
    char path[PATH_BYTES];
    int rc;

    b.commits = (struct samples){.cap = n_jobs, .us = calloc(n_jobs, sizeof(int64_t))};
    snprintf(path, sizeof path, "%s/bench-store.db", config->dir);
    bench_store_remove_database(path);
    rand_uuid(&b.rand, b.boot_id);
    if (!jobs || !flushes.us || !b.commits.us) {
        rc = err_set(ret_err, ERR_NOMEM, "no memory for the store's bench");
    } else if (pipe2(b.pipe, O_CLOEXEC) < 0) {
        rc = err_errno(ret_err, ERR_IO, errno, "no pipe for the store's bench");
    } else {
        rc = store_open(&(struct store_config){.path = path,
                                               .threaded = true,
                                               .clock = b.clock,
                                               .wake = bench_store_wake,
                                               .wake_ud = &b},
                        &b.store, ret_err);
        if (rc == 0) {
            rc = bench_store_measure(&b, config, jobs, &flushes, &result);
            if (rc < 0)
                err_set(ret_err, rc, "the store's bench failed: %s", err_str(rc));
        }
    }
    store_close(b.store);
    bench_store_remove_database(path);
    for (int i = 0; i < 2; i++) {
        if (b.pipe[i] >= 0)
            close(b.pipe[i]);
    }
    free(jobs);
    free(flushes.us);
    free(b.commits.us);
    if (rc == 0)
        *ret_result = result;
    return rc;
}
