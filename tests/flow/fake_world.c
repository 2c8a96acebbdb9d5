/* SPDX-License-Identifier: Apache-2.0 */
/* A whole coordinator in virtual time. */
#include "fake_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>
#include <sodium.h>

#include "attest/trust.h"
#include "coordinator/registry/provider.h"
#include "fake_consumer.h"
#include "fake_provider.h"
#include "ledger/ledger.h"

enum { SETTINGS_MAX_BYTES = 64 << 10 };

/* splitmix64: the same ids and ties on every run. */
static void fill(void *ud, void *ret_bytes, size_t n)
{
    struct fake_world *w = ud;
    uint8_t *out = ret_bytes;

    for (size_t i = 0; i < n; i++) {
        uint64_t z = w->rand_state += 0x9e3779b97f4a7c15;

        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
        z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
        out[i] = (uint8_t)(z >> 56);
    }
}

/* The product's defaults, but for what would only make tests longer. */
static void make_settings(struct fake_world *w)
{
    w->model = (struct settings_model){.id = STR(FAKE_MODEL),
                                       .display_name = STR("SmolLM2"),
                                       .input_price_micro_usd = FAKE_INPUT_PRICE,
                                       .output_price_micro_usd = FAKE_OUTPUT_PRICE};
    w->settings = (struct settings){.host = STR("127.0.0.1"),
                                    .cors_origin = STR("*"),
                                    .drain_timeout_ms = 600000,
                                    .admin_socket = STR("off"),
                                    .store_path = str_from(w->store_path),
                                    .min_trust = TRUST_SELF_SIGNED,
                                    .queue_wait_ms = 30000,
                                    .queue_max = 1000,
                                    .queue_max_per_account = 1000,
                                    .accept_timeout_ms = 10000,
                                    .first_token_timeout_ms = 600000,
                                    .first_content_ms = 600000,
                                    .token_gap_timeout_ms = 3600000,
                                    .request_deadline_ms = 600000,
                                    .stall_timeout_ms = 10000,
                                    .head_after_ms = 15000,
                                    .challenge_interval_ms = 300000,
                                    .challenge_timeout_ms = 30000,
                                    .challenge_retry_ms = 30000,
                                    .heartbeat_timeout_ms = 3600000,
                                    .register_timeout_ms = 3600000,
                                    .rate_per_s = 0,
                                    .rate_burst = 10,
                                    .max_connections = 1000,
                                    .models = &w->model,
                                    .n_models = 1};
}

struct fake_world *fake_world_new(void)
{
    struct fake_world *w = calloc(1, sizeof *w);

    assert_non_null(w);
    assert_true(sodium_init() >= 0);
    assert_int_equal(loop_fake_new(FAKE_WALL_US, &w->loop), 0);
    w->loops[0] = w->loop;
    w->n_loops = 1;
    snprintf(w->dir, sizeof w->dir, "/tmp/darkbloom-flow-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    snprintf(w->store_path, sizeof w->store_path, "%s/test.db", w->dir);
    w->log = (struct log){
        .fd = memfd_create("log", MFD_CLOEXEC), .level = LOG_DEBUG, .clock = loop_clock(w->loop)};
    arena_init(&w->region, SETTINGS_MAX_BYTES);
    make_settings(w);
    assert_int_equal(proto_scratch_init(&w->scratch, 32 << 20), 0);
    assert_int_equal(store_open_db(w->store_path, DB_CREATE, &w->db, NULL), 0);
    fake_world_make_key(w, FAKE_ACCOUNT, FAKE_CREDIT, w->key);
    return w;
}

struct fake_world *fake_world_new_with_defaults(void)
{
    const struct cfg_source source = {.table = &settings_table};
    struct fake_world *w = fake_world_new();
    const struct settings own = w->settings;

    assert_int_equal(cfg_load(&source, (struct str){0}, NULL, &w->region, &w->settings, NULL), 0);
    w->settings.port = own.port;
    w->settings.store_path = own.store_path;
    w->settings.cors_origin = own.cors_origin;
    w->settings.min_trust = own.min_trust;
    w->settings.rate_per_s = own.rate_per_s;
    w->settings.models = own.models;
    w->settings.n_models = own.n_models;
    return w;
}

void fake_world_start(struct fake_world *w)
{
    struct log *logs[FAKE_LOOPS];
    struct hub_config config = {.loops = w->loops,
                                .logs = logs,
                                .n_shards = w->n_loops,
                                .rand = {fill, w},
                                .settings = &w->settings};
    struct err err = {0};

    for (unsigned i = 0; i < w->n_loops; i++) {
        logs[i] = &w->log;
        if (i > 0 && !w->loops[i])
            assert_int_equal(loop_fake_beside(w->loop, &w->loops[i]), 0);
    }
    if (hub_new(&config, &w->hub, &err) < 0)
        fail_msg("%s", err.text);
    w->coord = w->hub->shards[0];
    fake_world_settle(w);
}

int fake_world_up(void **state)
{
    struct fake_world *w = fake_world_new();

    fake_world_start(w);
    *state = w;
    return 0;
}

static void remove_files(const struct fake_world *w)
{
    char command[96];

    snprintf(command, sizeof command, "rm -r %s", w->dir);
    assert_int_equal(system(command), 0);
}

int fake_world_down(void **state)
{
    struct fake_world *w = *state;

    for (size_t i = 0; i < w->n_consumers; i++)
        fake_consumer_leave(w->consumers[i]);
    fake_world_settle(w);
    fake_world_advance_ms(w, w->hub ? w->hub->store_delay_us / 1000 + 1000 : 0);
    fake_world_assert_at_rest(w);
    for (size_t i = 0; i < w->n_consumers; i++)
        fake_consumer_free(w->consumers[i]);
    for (size_t i = 0; i < w->n_providers; i++)
        fake_provider_free(w->providers[i]);
    hub_free(w->hub);
    for (unsigned i = 0; i < w->n_loops; i++)
        loop_free(w->loops[i]);
    proto_scratch_free(&w->scratch);
    db_close(w->db);
    close(w->log.fd);
    remove_files(w);
    arena_free(&w->region);
    free(w);
    return 0;
}

void fake_world_aim(struct fake_world *w, unsigned shard)
{
    loop_fake_aim(w->loops[shard]);
}

void fake_world_stop(struct fake_world *w)
{
    hub_free(w->hub);
    w->hub = NULL;
    w->coord = NULL;
    fake_world_settle(w);
}

void fake_world_settle(struct fake_world *w)
{
    loop_fake_settle(w->loop);
}

void fake_world_advance_ms(struct fake_world *w, int64_t ms)
{
    loop_fake_advance(w->loop, ms * 1000);
}

void fake_world_slow_store(struct fake_world *w, int64_t delay_us)
{
    w->hub->store_delay_us = delay_us;
}

void fake_world_store_company(struct fake_world *w, int64_t us)
{
    w->hub->store_company_us = us;
}

void fake_world_break_key(struct fake_world *w, size_t nth)
{
    struct list_node *n = w->coord->registry->providers.next;
    struct provider *p;

    for (size_t i = 0; i < nth; i++)
        n = n->next;
    p = list_owner(n, struct provider, link);
    provider_session_drop(p);
    memset(p->x25519, 0, sizeof p->x25519);
}

/* --- keys --- */

void fake_world_make_key(struct fake_world *w, const char *account, int64_t credit_micro_usd,
                         char ret_key[static KEY_TEXT_BYTES])
{
    const struct rand_src rand = {fill, w};
    struct clock clock = loop_clock(w->loop);
    int64_t now = clock_wall_us(&clock);

    assert_int_equal(db_begin(w->db), 0);
    assert_int_equal(key_create(w->db, str_from(account), &rand, now, ret_key), 0);
    if (credit_micro_usd > 0)
        assert_int_equal(
            ledger_credit(w->db, str_from(account), credit_micro_usd, str_from(ret_key), now), 0);
    assert_int_equal(db_commit(w->db), 0);
}

void fake_world_revoke_key(struct fake_world *w, const char *key)
{
    assert_int_equal(db_begin(w->db), 0);
    assert_int_equal(key_revoke(w->db, str_from(key), FAKE_WALL_US), 0);
    assert_int_equal(db_commit(w->db), 0);
}

/* --- what the store says --- */

int64_t fake_world_balance(struct fake_world *w, const char *account)
{
    int64_t balance;

    assert_int_equal(ledger_balance(w->db, str_from(account), &balance), 0);
    return balance;
}

int64_t fake_world_query(struct fake_world *w, const char *sql)
{
    struct db_stmt *st = db_stmt(w->db, sql);
    int64_t value;

    if (db_step(st) != 1)
        fail_msg("no row from %s: %s", sql, db_message(w->db));
    value = db_col_i64(st, 0);
    db_reset(st);
    return value;
}

void fake_world_tamper(struct fake_world *w, const char *sql)
{
    if (db_exec(w->db, sql) < 0)
        fail_msg("%s", db_message(w->db));
}

static void take_text(struct db_stmt *st, int column, char *ret_text, size_t cap)
{
    snprintf(ret_text, cap, "%.*s", STR_ARG(db_col_str(st, column)));
}

struct fake_hold fake_world_hold(struct fake_world *w, size_t nth)
{
    struct db_stmt *st =
        db_stmt(w->db, "SELECT ceiling, cost, payout, fee, refund, prompt_tokens, delivered_tokens,"
                       " settled_us IS NULL, outcome, provider_account FROM holds ORDER BY id"
                       " LIMIT 1 OFFSET ?1");
    struct fake_hold h = {0};
    int64_t *const amounts[] = {&h.ceiling, &h.cost,          &h.payout,          &h.fee,
                                &h.refund,  &h.prompt_tokens, &h.delivered_tokens};

    db_bind_i64(st, 1, (int64_t)nth);
    if (db_step(st) != 1)
        fail_msg("hold %zu was never made", nth);
    for (int i = 0; i < 7; i++)
        *amounts[i] = db_col_i64(st, i);
    h.open = db_col_i64(st, 7) != 0;
    take_text(st, 8, h.outcome, sizeof h.outcome);
    take_text(st, 9, h.provider_account, sizeof h.provider_account);
    db_reset(st);
    return h;
}

static void assert_no_slot_taken(const struct registry *reg)
{
    for (struct list_node *n = reg->providers.next; n != &reg->providers; n = n->next)
        assert_int_equal(list_owner(n, struct provider, link)->n_attempts, 0);
}

void fake_world_assert_at_rest(struct fake_world *w)
{
    struct clock clock = loop_clock(w->loop);
    struct ledger_report report;

    assert_int_equal(ledger_check(w->db, clock_wall_us(&clock), &report), 0);
    assert_true(ledger_report_ok(&report));
    assert_int_equal(report.sum_micro_usd, 0);
    assert_int_equal(report.open_holds, 0);
    assert_int_equal(report.held_micro_usd, 0);
    if (!w->coord)
        return;
    assert_int_equal(atomic_load(&w->hub->n_requests), 0);
    for (unsigned i = 0; i < w->n_loops; i++) {
        assert_int_equal(w->hub->shards[i]->n_requests, 0);
        assert_true(list_empty(&w->hub->shards[i]->requests));
        assert_no_slot_taken(w->hub->shards[i]->registry);
    }
}

/* --- the log --- */

char *fake_world_log(const struct fake_world *w)
{
    off_t n = lseek(w->log.fd, 0, SEEK_END);
    char *text = calloc(1, (size_t)n + 1);

    assert_non_null(text);
    assert_int_equal(pread(w->log.fd, text, (size_t)n, 0), n);
    return text;
}

bool fake_world_logged(const struct fake_world *w, const char *text)
{
    char *log = fake_world_log(w);
    bool found = strstr(log, text) != NULL;

    free(log);
    return found;
}

void fake_world_forget_log(struct fake_world *w)
{
    assert_int_equal(ftruncate(w->log.fd, 0), 0);
    assert_int_equal(lseek(w->log.fd, 0, SEEK_SET), 0);
}
