/* SPDX-License-Identifier: Apache-2.0 */
/* key create, key list, key revoke. */
#include <sodium.h>
#include <stdio.h>

#include "base/b64.h"
#include "coordinator/command/options.h"
#include "coordinator/command/usd.h"
#include "ledger/ledger.h"

struct key_args {
    struct str account;
    struct str credit_text; /* .p NULL: none */
    int64_t credit_micro_usd;
};

static int key_check_credit(struct key_args *a, struct err *ret_err)
{
    int rc;

    if (!a->credit_text.p)
        return 0;
    rc = usd_parse(a->credit_text, &a->credit_micro_usd);
    if (rc == ERR_PARSE)
        return err_set(ret_err, ERR_USAGE,
                       "--credit: \"%.*s\" is not an amount in USD: digits with at most 6 places, "
                       "for example 5 or 0.25",
                       COMMAND_ARG(a->credit_text));
    if (rc < 0 || a->credit_micro_usd <= 0 || a->credit_micro_usd > LEDGER_CREDIT_MAX_MICRO_USD)
        return err_set(ret_err, ERR_USAGE,
                       "--credit: %.*s USD is out of range: from 0.000001 to %lld",
                       COMMAND_ARG(a->credit_text), LEDGER_CREDIT_MAX_MICRO_USD / 1000000);
    return 0;
}

static int key_parse_create(int argc, const struct str *argv, struct key_args *ret_args,
                            struct err *ret_err)
{
    struct command_option options[] = {{"--credit", "an amount in USD", {0}}, {0}};
    struct key_args a = {0};
    int rc = command_options(argc, argv, "key create ACCOUNT [--credit USD]", options, &a.account,
                             ret_err);

    a.credit_text = options[0].value;
    if (rc == 0)
        rc = key_check_credit(&a, ret_err);
    if (rc == 0)
        *ret_args = a;
    return rc;
}

/* The credit's reference is the key's hash: each key brings its credit once. */
static int key_credit(struct db *db, const struct key_args *a, struct str key, int64_t wall_us)
{
    uint8_t hash[KEY_HASH_BYTES];
    char reference[8 + 2 * KEY_HASH_BYTES + 1] = "api-key:";

    if (!a->credit_text.p)
        return 0;
    key_hash(key, hash);
    hex_encode(hash, sizeof hash, reference + 8);
    return ledger_credit(db, a->account, a->credit_micro_usd, str_from(reference), wall_us);
}

/* Key and credit in one transaction: both or none. */
static int key_store(struct db *db, const struct command_env *env, const struct key_args *a,
                     char ret_key[static KEY_TEXT_BYTES], struct err *ret_err)
{
    int64_t now = clock_wall_us(&env->clock);
    int rc = db_begin(db);

    if (rc == 0)
        rc = key_create(db, a->account, &env->rand, now, ret_key);
    if (rc == 0)
        rc = key_credit(db, a, str_from(ret_key), now);
    if (rc == 0)
        rc = db_commit(db);
    if (rc == 0)
        return 0;
    db_rollback(db);
    if (rc == ERR_RANGE)
        return err_set(ret_err, rc, "--credit: the balance of %.*s would exceed %lld USD",
                       STR_ARG(a->account), LEDGER_BALANCE_MAX_MICRO_USD / 1000000);
    return err_set(ret_err, rc, "the key could not be stored in %s: %s", env->store.path,
                   db_message(db));
}

static void key_print(const struct command_env *env, struct db *db, const struct key_args *a,
                      const char *key)
{
    char balance[USD_TEXT_BYTES];
    int64_t micro_usd = 0;

    (void)ledger_balance(db, a->account, &micro_usd);
    usd_format(micro_usd, balance);
    dprintf(env->out,
            "API key for account %.*s (balance %s USD). It is shown only now; the store keeps its "
            "hash.\n%s\n",
            STR_ARG(a->account), balance, key);
}

int command_key_create(const struct command_env *env, int argc, const struct str *argv,
                       struct err *ret_err)
{
    char key[KEY_TEXT_BYTES];
    struct key_args args = {0};
    struct db *db = NULL;
    int rc = key_parse_create(argc, argv, &args, ret_err);

    if (rc == 0)
        rc = store_open_place(&env->store, DB_CREATE, &db, ret_err);
    if (rc < 0)
        return rc;
    rc = key_store(db, env, &args, key, ret_err);
    if (rc == 0)
        key_print(env, db, &args, key);
    sodium_memzero(key, sizeof key);
    db_close(db);
    return rc;
}

static void key_print_row(void *ud, const struct key_info *info)
{
    const struct command_env *env = ud;
    char created[CLOCK_RFC3339_BYTES], balance[USD_TEXT_BYTES], prefix[KEY_PREFIX_BYTES + 4];

    clock_rfc3339(info->created_us, created);
    usd_format(info->balance_micro_usd, balance);
    snprintf(prefix, sizeof prefix, "%.*s...", STR_ARG(info->prefix));
    dprintf(env->out, "%-*s  %-24.*s  %s  %-7s  %16s\n", KEY_PREFIX_BYTES + 3, prefix,
            STR_ARG(info->account), created, info->active ? "active" : "revoked", balance);
}

int command_key_list(const struct command_env *env, int argc, const struct str *argv,
                     struct err *ret_err)
{
    struct command_env copy = *env;
    struct db *db = NULL;
    int rc = command_no_arguments("key list", argc, argv, ret_err);

    if (rc == 0)
        rc = store_open_place(&env->store, DB_MUST_EXIST, &db, ret_err);
    if (rc < 0)
        return rc;
    dprintf(env->out, "%-*s  %-24s  %-20s  %-7s  %16s\n", KEY_PREFIX_BYTES + 3, "PREFIX", "ACCOUNT",
            "CREATED", "STATE", "BALANCE USD");
    rc = key_list(db, key_print_row, &copy);
    if (rc < 0)
        err_set(ret_err, rc, "the keys of %s cannot be read: %s", env->store.path, db_message(db));
    db_close(db);
    return rc;
}

/* As listed, the prefix may come with its dots. */
static struct str key_without_dots(struct str s)
{
    while (s.n > 0 && s.p[s.n - 1] == '.')
        s.n--;
    return s;
}

static int key_revoke_one(struct db *db, const struct command_env *env, struct str key,
                          struct err *ret_err)
{
    int rc = db_begin(db);

    if (rc == 0)
        rc = key_revoke(db, key, clock_wall_us(&env->clock));
    if (rc == 0)
        rc = db_commit(db);
    db_rollback(db);
    switch (rc) {
    case 0:
        return 0;
    case ERR_NOT_FOUND:
        return err_set(ret_err, rc,
                       "no active key has this text or prefix; `key list` shows prefixes");
    case ERR_CONFLICT:
        return err_set(ret_err, rc, "several active keys have this prefix; give the whole key");
    default:
        return err_set(ret_err, rc, "the key could not be revoked in %s: %s", env->store.path,
                       db_message(db));
    }
}

int command_key_revoke(const struct command_env *env, int argc, const struct str *argv,
                       struct err *ret_err)
{
    struct db *db = NULL;
    int rc;

    if (argc != 1)
        return err_set(ret_err, ERR_USAGE, "%s: key revoke KEY_OR_PREFIX",
                       argc == 0 ? "KEY_OR_PREFIX is missing" : "one key at a time");
    rc = store_open_place(&env->store, DB_MUST_EXIST, &db, ret_err);
    if (rc < 0)
        return rc;
    rc = key_revoke_one(db, env, key_without_dots(argv[0]), ret_err);
    if (rc == 0)
        dprintf(env->out, "Revoked. A running coordinator refuses the key within a second.\n");
    db_close(db);
    return rc;
}
