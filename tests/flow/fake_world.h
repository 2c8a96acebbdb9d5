/* SPDX-License-Identifier: Apache-2.0 */
/* A whole coordinator in virtual time: fake loop, a store in a temporary file whose operations are
 * durable `store_delay_us` after they were submitted, randomness from a seed, an account with one
 * key and credit, and the log in a file that the test can read. Providers (fake_provider.h) and
 * consumers (fake_consumer.h) that a test brings in are the world's, which ends them. */
#ifndef TESTS_FLOW_FAKE_WORLD_H
#define TESTS_FLOW_FAKE_WORLD_H

#include "base/arena.h"
#include "base/log.h"
#include "coordinator/coord.h"
#include "coordinator/hub.h"
#include "net/loop_fake.h"
#include "proto/shape.h"
#include "store/keys.h"

#define FAKE_WALL_US INT64_C(1790000000000000)
#define FAKE_MODEL   "smollm2-135m-instruct"
#define FAKE_ACCOUNT "alice"
/* 1 and 2 USD for a million tokens: a token costs 1 or 2 micro-USD. */
#define FAKE_INPUT_PRICE  1000000
#define FAKE_OUTPUT_PRICE 2000000
#define FAKE_CREDIT       INT64_C(1000000) /* micro-USD */

enum { FAKE_LOOPS = 4, FAKE_PROVIDERS = 1024, FAKE_CONSUMERS = 3200 };

struct fake_provider;
struct fake_consumer;

struct fake_world {
    struct loop *loop; /* the first, and those of providers and consumers */
    struct loop *loops[FAKE_LOOPS];
    unsigned n_loops;         /* 1; changed before fake_world_start */
    struct settings settings; /* changed before fake_world_start */
    struct settings_model model;
    struct arena region; /* of settings that were loaded */
    struct hub *hub;
    struct coord *coord; /* its first shard */
    struct log log;
    struct db *db; /* a second handle: what others see, and tampering */
    char dir[64], store_path[96];
    char key[KEY_TEXT_BYTES];
    uint64_t rand_state;
    struct proto_scratch scratch; /* of all providers: one message at a time */
    struct fake_provider *providers[FAKE_PROVIDERS];
    size_t n_providers;
    struct fake_consumer *consumers[FAKE_CONSUMERS];
    size_t n_consumers;
    bool drained;
};

/* cmocka setup: *state is a world whose coordinator runs with the settings of make_settings. */
int fake_world_up(void **state);
/* cmocka teardown: everybody leaves; then nothing may be held, alive or unbalanced. */
int fake_world_down(void **state);

/* The two halves of fake_world_up, for tests that change w->settings in between. */
struct fake_world *fake_world_new(void);
/* With the defaults of the product's own table for every limit and time-out, but for the rate. */
struct fake_world *fake_world_new_with_defaults(void);
void fake_world_start(struct fake_world *w);

/* Who connects from now on reaches this shard. */
void fake_world_aim(struct fake_world *w, unsigned shard);

/* The coordinator ends at once, whatever runs. */
void fake_world_stop(struct fake_world *w);

/* Let happen what happens without time going by. */
void fake_world_settle(struct fake_world *w);
void fake_world_advance_ms(struct fake_world *w, int64_t ms);

/* From now on an operation of the store takes that long. */
void fake_world_slow_store(struct fake_world *w, int64_t delay_us);

/* From now on what nobody waits for waits that long for company. */
void fake_world_store_company(struct fake_world *w, int64_t us);

/* From now on nothing can be encrypted to the `nth` connected provider. */
void fake_world_break_key(struct fake_world *w, size_t nth);

/* A new key for `account`, with that credit. The account is opened where there is none. */
void fake_world_make_key(struct fake_world *w, const char *account, int64_t credit_micro_usd,
                         char ret_key[static KEY_TEXT_BYTES]);
void fake_world_revoke_key(struct fake_world *w, const char *key);

/* --- what the store says --- */

int64_t fake_world_balance(struct fake_world *w, const char *account);
/* The first column of the first row. `sql` is a string literal. */
int64_t fake_world_query(struct fake_world *w, const char *sql);
/* Change the database behind the coordinator's back. */
void fake_world_tamper(struct fake_world *w, const char *sql);

struct fake_hold {
    int64_t ceiling, cost, payout, fee, refund, prompt_tokens, delivered_tokens;
    bool open;
    char outcome[32];          /* "" while open */
    char provider_account[96]; /* "" where none is known */
};
/* The `nth` hold ever made; fails the test where there is none. */
struct fake_hold fake_world_hold(struct fake_world *w, size_t nth);

/* Nothing is held, every entry has its counterpart and, while the coordinator runs, no request
 * lives and no slot is taken. */
void fake_world_assert_at_rest(struct fake_world *w);

/* The log so far, NUL-terminated; freed by the caller. */
char *fake_world_log(const struct fake_world *w);
bool fake_world_logged(const struct fake_world *w, const char *text);
void fake_world_forget_log(struct fake_world *w);

#endif
