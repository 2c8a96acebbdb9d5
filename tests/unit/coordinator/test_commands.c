/* SPDX-License-Identifier: Apache-2.0 */
/* Keys, accounts, the ledger's audit, the store: what the commands print, what they change, what
 * they refuse. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "coordinator/command/command.h"
#include "coordinator/command/usd.h"
#include "ledger/ledger.h"

struct fixture {
    char dir[64], path[96];
    struct command_env env;
    struct err e;
    char out[8192]; /* what the last command printed */
    int64_t now_us;
};

static int64_t fake_now(void *ud)
{
    return ((const struct fixture *)ud)->now_us;
}

static int setup(void **state)
{
    static struct fixture x;

    x = (struct fixture){.now_us = 1700000000000000};
    snprintf(x.dir, sizeof x.dir, "/tmp/darkbloom-command-XXXXXX");
    assert_non_null(mkdtemp(x.dir));
    snprintf(x.path, sizeof x.path, "%s/test.db", x.dir);
    x.env = (struct command_env){.store = {.path = x.path},
                                 .clock = {.mono_us = fake_now, .wall_us = fake_now, .ud = &x},
                                 .rand = rand_system()};
    *state = &x;
    return 0;
}

static int teardown(void **state)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", "-lock"};
    struct fixture *x = *state;

    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        char name[128];

        snprintf(name, sizeof name, "%s%s", x->path, suffixes[i]);
        unlink(name);
    }
    assert_int_equal(rmdir(x->dir), 0);
    return 0;
}

/* Run a command line (words separated by one space) and keep what it printed. */
static int command(struct fixture *x, const char *line)
{
    struct str words[8];
    char copy[512];
    size_t n = 0;
    char *rest = copy;
    FILE *file = tmpfile();
    int rc;

    assert_non_null(file);
    snprintf(copy, sizeof copy, "%s", line);
    for (char *w; line[0] && (w = strsep(&rest, " "));) {
        assert_in_range(n, 0, 7);
        words[n++] = str_from(w);
    }
    x->env.out = fileno(file);
    x->e = (struct err){0};
    rc = command_dispatch(&x->env, (struct cfg_list){words, n}, &x->e);
    rewind(file);
    n = fread(x->out, 1, sizeof x->out - 1, file);
    x->out[n] = '\0';
    fclose(file);
    assert_int_equal(x->e.code, rc); /* whoever fails says why */
    return rc;
}

static const char *last_line(struct fixture *x)
{
    char *end = strrchr(x->out, '\n');
    char *start;

    assert_non_null(end);
    assert_int_equal(end[1], '\0');
    *end = '\0';
    start = strrchr(x->out, '\n');
    return start ? start + 1 : x->out;
}

static struct db *open_store(struct fixture *x)
{
    struct db *db = NULL;

    assert_int_equal(store_open_db(x->path, DB_MUST_EXIST, &db, NULL), 0);
    return db;
}

static void key_create_makes_the_store_and_prints_the_key_last(void **state)
{
    struct fixture *x = *state;
    char account[ACCOUNT_MAX_BYTES + 1];
    uint8_t hash[KEY_HASH_BYTES];
    const char *key;
    int64_t balance;
    struct db *db;

    assert_int_equal(command(x, "key create alice --credit 2.000001"), 0);
    key = last_line(x);
    assert_int_equal(strlen(key), KEY_TEXT_BYTES - 1);
    db = open_store(x);
    key_hash(str_from(key), hash);
    assert_int_equal(key_lookup(db, hash, account), 0);
    assert_string_equal(account, "alice");
    assert_int_equal(ledger_balance(db, STR("alice"), &balance), 0);
    assert_int_equal(balance, 2000001);
    db_close(db);
}

static void each_new_key_brings_its_own_credit(void **state)
{
    struct fixture *x = *state;
    int64_t balance;
    struct db *db;

    assert_int_equal(command(x, "key create alice --credit 1"), 0);
    assert_int_equal(command(x, "key create alice --credit=0.5"), 0);
    assert_int_equal(command(x, "key create alice"), 0);
    db = open_store(x);
    assert_int_equal(ledger_balance(db, STR("alice"), &balance), 0);
    assert_int_equal(balance, 1500000);
    db_close(db);
    assert_int_equal(command(x, "ledger check"), 0);
}

static void a_running_coordinators_store_can_be_worked_on(void **state)
{
    struct fixture *x = *state;
    struct store_config config = {.path = x->path, .clock = x->env.clock};
    struct store *store = NULL;

    assert_int_equal(store_open(&config, &store, NULL), 0);
    assert_int_equal(command(x, "key create alice --credit 1"), 0);
    assert_int_equal(command(x, "key list"), 0);
    assert_int_equal(command(x, "ledger check"), 0);
    store_close(store);
}

static void key_list_shows_prefix_account_age_state_and_balance(void **state)
{
    struct fixture *x = *state;
    char key[KEY_TEXT_BYTES], row[200], revoke[120];

    assert_int_equal(command(x, "key create alice --credit 1.25"), 0);
    snprintf(key, sizeof key, "%s", last_line(x));
    assert_int_equal(command(x, "key list"), 0);
    assert_null(strstr(x->out, key));
    snprintf(row, sizeof row, "%.23s...  alice                     2023-11-14T22:13:20Z  active  ",
             key);
    assert_non_null(strstr(x->out, row));
    assert_non_null(strstr(x->out, "1.250000\n"));

    snprintf(revoke, sizeof revoke, "key revoke %.23s...", key);
    assert_int_equal(command(x, revoke), 0);
    assert_non_null(strstr(x->out, "Revoked."));
    assert_int_equal(command(x, "key list"), 0);
    assert_non_null(strstr(x->out, "  revoked  "));
    snprintf(revoke, sizeof revoke, "key revoke %s", key);
    assert_int_equal(command(x, revoke), ERR_NOT_FOUND);
}

static void ledger_check_fails_when_a_balance_is_off(void **state)
{
    struct fixture *x = *state;
    struct db *db;

    assert_int_equal(command(x, "key create alice --credit 1"), 0);
    assert_int_equal(command(x, "ledger check"), 0);
    assert_non_null(strstr(x->out, "The ledger balances.\n"));
    assert_null(strstr(x->out, "WRONG"));
    db = open_store(x);
    assert_int_equal(db_exec(db, "UPDATE accounts SET balance = balance + 1 WHERE name = 'alice'"),
                     0);
    db_close(db);
    assert_int_equal(command(x, "ledger check"), ERR_INTERNAL);
    assert_non_null(strstr(x->out, "WRONG: must be 0"));
    assert_non_null(strstr(x->e.text, x->path));
}

static const struct bad_line {
    const char *line;
    int rc;
    const char *says;
} bad_lines[] = {
    {"", ERR_USAGE,
     "key create, key list, key revoke, ledger check, providers forgive, providers, route, store "
     "show"},
    {"account", ERR_USAGE, "there are: account set, account show, key create"},
    {"key", ERR_USAGE, "there is no command \"key\""},
    {"key creat", ERR_USAGE, "there is no command \"key creat\""},
    {"keycreate", ERR_USAGE, "there are: account set"},
    {"ledger fix", ERR_USAGE, "ledger check"},
    {"key create", ERR_USAGE, "ACCOUNT is missing"},
    {"key create alice bob", ERR_USAGE, "\"bob\" is a second"},
    {"key create alice --debit 5", ERR_USAGE, "\"--debit\" is not understood"},
    {"key create alice --credit", ERR_USAGE, "--credit needs an amount"},
    {"key create alice --credit lots", ERR_USAGE, "\"lots\" is not an amount in USD"},
    {"key create alice --credit 1e3", ERR_USAGE, "for example 5 or 0.25"},
    {"key create alice --credit -1", ERR_USAGE, "not an amount"},
    {"key create alice --credit 0", ERR_USAGE, "from 0.000001 to 1000000"},
    {"key create alice --credit 0.0000001", ERR_USAGE, "at most 6 places"},
    {"key create alice --credit 1000000.000001", ERR_USAGE, "out of range"},
    {"key create alice --credit 99999999999999999999", ERR_USAGE, "out of range"},
    {"key create a/b", ERR_USAGE, "letters, digits and"},
    {"key create platform", ERR_USAGE, "the ledger's own"},
    {"key list please", ERR_USAGE, "takes no arguments"},
    {"key revoke", ERR_USAGE, "KEY_OR_PREFIX is missing"},
    {"key revoke a b", ERR_USAGE, "one key at a time"},
    {"ledger check now", ERR_USAGE, "takes no arguments"},
    {"store show me", ERR_USAGE, "takes no arguments"},
    {"key create alice --credit 1 --credit=2", ERR_USAGE, "--credit is given twice"},
    {"key create alice --creditor 1", ERR_USAGE, "\"--creditor\" is not understood"},
    {"account show", ERR_USAGE, "ACCOUNT is missing"},
    {"account show holds", ERR_USAGE, "the ledger's own"},
    {"account set", ERR_USAGE, "ACCOUNT is missing"},
    {"account set alice", ERR_USAGE, "nothing to set"},
    {"account set alice --deadline-ms", ERR_USAGE, "--deadline-ms needs milliseconds"},
    {"account set alice --deadline-ms 99", ERR_USAGE, "from 100 to 86400000, or default"},
    {"account set alice --deadline-ms 86400001", ERR_USAGE, "from 100 to 86400000"},
    {"account set alice --deadline-ms 1e3", ERR_USAGE, "\"1e3\" is not a number"},
    {"account set alice --deadline-ms -100", ERR_USAGE, "\"-100\" is not a number"},
    {"account set alice --deadline-ms=", ERR_USAGE, "\"\" is not a number"},
    {"account set alice --first-content-ms 9", ERR_USAGE, "from 10 to 3600000"},
    {"account set alice --first-content-ms 9999999999999999999", ERR_USAGE, "from 10 to"},
    /* no store there, and none is made */
    {"key list", ERR_NOT_FOUND, "there is no store at"},
    {"key revoke x", ERR_NOT_FOUND, "there is no store at"},
    {"ledger check", ERR_NOT_FOUND, "there is no store at"},
    {"store show", ERR_NOT_FOUND, "there is no store at"},
    {"account show alice", ERR_NOT_FOUND, "there is no store at"},
    {"account set alice --deadline-ms 100", ERR_NOT_FOUND, "there is no store at"},
};

static void bad_input_is_named_with_the_way_out(void **state)
{
    struct fixture *x = *state;

    for (size_t i = 0; i < sizeof bad_lines / sizeof bad_lines[0]; i++) {
        int rc = command(x, bad_lines[i].line);

        if (rc != bad_lines[i].rc || !strstr(x->e.text, bad_lines[i].says))
            fail_msg("%s: %d, \"%s\"", bad_lines[i].line, rc, x->e.text);
        assert_string_equal(x->out, "");
        assert_int_equal(access(x->path, F_OK), -1);
    }
}

static void a_credit_beyond_what_a_balance_may_be_makes_no_key(void **state)
{
    struct fixture *x = *state;
    char reference[16];
    struct db *db;

    assert_int_equal(command(x, "key create alice --credit 1000000"), 0);
    db = open_store(x);
    assert_int_equal(db_begin(db), 0);
    for (int i = 1; i < 1000; i++) {
        snprintf(reference, sizeof reference, "n%d", i);
        assert_int_equal(
            ledger_credit(db, STR("alice"), LEDGER_CREDIT_MAX_MICRO_USD, str_from(reference), 0),
            0);
    }
    assert_int_equal(db_commit(db), 0);
    db_close(db);
    assert_int_equal(command(x, "key create alice --credit 0.000001"), ERR_RANGE);
    assert_non_null(strstr(x->e.text, "the balance of alice would exceed 1000000000 USD"));
    assert_string_equal(x->out, "");
    assert_int_equal(command(x, "key list"), 0);
    assert_null(strstr(strstr(x->out, "alice") + 1, "alice")); /* the first key alone */
}

static void an_account_name_of_129_bytes_is_refused(void **state)
{
    struct fixture *x = *state;
    char line[200];

    snprintf(line, sizeof line, "key create %0128d", 7);
    assert_int_equal(command(x, line), 0);
    snprintf(line, sizeof line, "key create %0129d", 7);
    assert_int_equal(command(x, line), ERR_USAGE);
    assert_non_null(strstr(x->e.text, "this one has 129 bytes"));
}

static void usd_is_read_and_written_exactly(void **state)
{
    static const struct {
        const char *text;
        int rc;
        int64_t micro_usd;
    } cases[] = {
        {"0", 0, 0},
        {"5", 0, 5000000},
        {"0.1", 0, 100000},
        {"0.3", 0, 300000}, /* no binary fraction in between */
        {"1.000001", 0, 1000001},
        {"007.50", 0, 7500000},
        {"9223372036854.775807", 0, INT64_MAX},
        {"9223372036854.775808", ERR_RANGE, 0},
        {"9223372036855", ERR_RANGE, 0},
        {"", ERR_PARSE, 0},
        {".", ERR_PARSE, 0},
        {".5", ERR_PARSE, 0},
        {"5.", ERR_PARSE, 0},
        {"1.2.3", ERR_PARSE, 0},
        {"+1", ERR_PARSE, 0},
        {"1,5", ERR_PARSE, 0},
        {"0x10", ERR_PARSE, 0},
        {" 1", ERR_PARSE, 0},
    };
    char text[USD_TEXT_BYTES];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t micro_usd = 0;

        assert_int_equal(usd_parse(str_from(cases[i].text), &micro_usd), cases[i].rc);
        assert_int_equal(micro_usd, cases[i].micro_usd);
    }
    usd_format(1500000, text);
    assert_string_equal(text, "1.500000");
    usd_format(0, text);
    assert_string_equal(text, "0.000000");
    usd_format(-1, text);
    assert_string_equal(text, "-0.000001");
    usd_format(INT64_MIN, text);
    assert_string_equal(text, "-9223372036854.775808");
}

static void the_help_names_every_command(void **state)
{
    struct fixture *x = *state;
    FILE *file = tmpfile();
    size_t n;

    assert_non_null(file);
    command_help(fileno(file));
    rewind(file);
    n = fread(x->out, 1, sizeof x->out - 1, file);
    x->out[n] = '\0';
    fclose(file);
    assert_non_null(strstr(x->out, "key create ACCOUNT [--credit USD]\n"));
    assert_non_null(strstr(x->out, "key list\n"));
    assert_non_null(strstr(x->out, "key revoke KEY_OR_PREFIX\n"));
    assert_non_null(strstr(x->out, "ledger check\n"));
    assert_non_null(strstr(x->out, "store show\n"));
    assert_non_null(
        strstr(x->out, "account set ACCOUNT [--first-content-ms N] [--deadline-ms N]\n"));
    assert_non_null(strstr(x->out, "account show ACCOUNT\n"));
}

static struct account_settings settings_of(struct fixture *x, const char *account)
{
    struct account_settings s = {-1, -1};
    struct db *db = open_store(x);

    assert_int_equal(account_settings_get(db, str_from(account), &s), 0);
    db_close(db);
    return s;
}

static void account_set_changes_what_it_is_given_and_nothing_else(void **state) /* FR-40 */
{
    struct fixture *x = *state;

    assert_int_equal(command(x, "key create alice --credit 1"), 0);
    assert_int_equal(command(x, "key create bob"), 0);
    assert_int_equal(settings_of(x, "alice").first_content_ms, 0);
    assert_int_equal(command(x, "account set alice --first-content-ms 8000"), 0);
    assert_int_equal(settings_of(x, "alice").first_content_ms, 8000);
    assert_int_equal(settings_of(x, "alice").request_deadline_ms, 0);
    assert_int_equal(command(x, "account set alice --deadline-ms=20000"), 0);
    assert_int_equal(settings_of(x, "alice").first_content_ms, 8000);
    assert_int_equal(settings_of(x, "alice").request_deadline_ms, 20000);
    assert_int_equal(settings_of(x, "bob").request_deadline_ms, 0);
    assert_int_equal(command(x, "account set alice --first-content-ms default"), 0);
    assert_string_equal(x->out, "Set. A running coordinator goes by it within a second.\n");
    assert_int_equal(settings_of(x, "alice").first_content_ms, 0);
    assert_int_equal(settings_of(x, "alice").request_deadline_ms, 20000);
    assert_int_equal(command(x, "account set alice --deadline-ms 86400000"), 0);
    assert_int_equal(command(x, "account set alice --first-content-ms 3600000"), 0);
    assert_int_equal(settings_of(x, "alice").request_deadline_ms, 86400000);
    assert_int_equal(command(x, "account set alice --first-content-ms 19"), 0);
    assert_int_equal(settings_of(x, "alice").first_content_ms, 19);
}

static void account_show_prints_balance_and_settings(void **state)
{
    struct fixture *x = *state;

    assert_int_equal(command(x, "key create alice --credit 1"), 0);
    assert_int_equal(command(x, "account set alice --first-content-ms 8000"), 0);
    assert_int_equal(command(x, "account show alice"), 0);
    assert_non_null(strstr(x->out, "account                alice\n"));
    assert_non_null(strstr(x->out, "balance, USD           1.000000\n"));
    assert_non_null(strstr(x->out, "first content, ms      8000\n"));
    assert_non_null(strstr(x->out, "request deadline, ms   default\n"));
}

static void an_account_that_is_not_there_has_no_settings(void **state)
{
    struct fixture *x = *state;

    assert_int_equal(command(x, "key create alice"), 0);
    assert_int_equal(command(x, "account show bob"), ERR_NOT_FOUND);
    assert_non_null(strstr(x->e.text, "there is no account bob"));
    assert_int_equal(command(x, "account set bob --deadline-ms 1000"), ERR_NOT_FOUND);
    assert_int_equal(command(x, "account show bob"), ERR_NOT_FOUND);
}

static void content_may_not_come_later_than_the_end(void **state)
{
    struct fixture *x = *state;

    assert_int_equal(command(x, "key create alice"), 0);
    assert_int_equal(command(x, "account set alice --first-content-ms 8000 --deadline-ms 8000"), 0);
    assert_int_equal(command(x, "account set alice --deadline-ms 7999"), ERR_USAGE);
    assert_int_equal(command(x, "account set alice --first-content-ms 8001"), ERR_USAGE);
    assert_int_equal(settings_of(x, "alice").first_content_ms, 8000);
    assert_int_equal(settings_of(x, "alice").request_deadline_ms, 8000);
}

static void store_show_prints_the_id_that_store_id_demands(void **state)
{
    struct fixture *x = *state;
    char id[STORE_ID_BYTES], row[64];
    struct db *db;

    assert_int_equal(command(x, "key create alice"), 0);
    db = open_store(x);
    assert_int_equal(store_id(db, id), 0);
    db_close(db);
    assert_int_equal(command(x, "store show"), 0);
    snprintf(row, sizeof row, "id      %s\n", id);
    assert_non_null(strstr(x->out, row));
    assert_non_null(strstr(x->out, x->path));
    x->env.store.id = id;
    assert_int_equal(command(x, "key list"), 0);
    x->env.store.id = "00000000000000000000000000000000";
    assert_int_equal(command(x, "key create bob"), ERR_STORE);
    assert_non_null(strstr(x->e.text, "store.id"));
}

/* FR-50: a key made while the volume is away must not begin an empty store. */
static void key_create_begins_no_store_where_one_was(void **state)
{
    struct fixture *x = *state;
    struct store_config config = {.path = x->path, .clock = x->env.clock};
    struct store *store = NULL;

    assert_int_equal(store_open(&config, &store, NULL), 0);
    store_close(store);
    assert_int_equal(unlink(x->path), 0);
    assert_int_equal(command(x, "key create alice"), ERR_STORE);
    assert_non_null(strstr(x->e.text, "--store-new"));
    assert_int_equal(access(x->path, F_OK), -1);
    x->env.store.begin_anew = true;
    assert_int_equal(command(x, "key create alice"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
        TEST(key_create_makes_the_store_and_prints_the_key_last),
        TEST(each_new_key_brings_its_own_credit),
        TEST(a_running_coordinators_store_can_be_worked_on),
        TEST(key_list_shows_prefix_account_age_state_and_balance),
        TEST(ledger_check_fails_when_a_balance_is_off),
        TEST(bad_input_is_named_with_the_way_out),
        TEST(a_credit_beyond_what_a_balance_may_be_makes_no_key),
        TEST(an_account_name_of_129_bytes_is_refused),
        TEST(usd_is_read_and_written_exactly),
        TEST(the_help_names_every_command),
        TEST(account_set_changes_what_it_is_given_and_nothing_else),
        TEST(account_show_prints_balance_and_settings),
        TEST(an_account_that_is_not_there_has_no_settings),
        TEST(content_may_not_come_later_than_the_end),
        TEST(store_show_prints_the_id_that_store_id_demands),
        TEST(key_create_begins_no_store_where_one_was),
    };

    return cmocka_run_group_tests_name("coordinator: commands", tests, NULL, NULL);
}
