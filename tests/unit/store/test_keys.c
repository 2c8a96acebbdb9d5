/* SPDX-License-Identifier: Apache-2.0 */
/* API keys: shown once, stored hashed, revoked by text or prefix. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/b64.h"
#include "store/keys.h"
#include "unit/store/fake_store.h"

struct fixture {
    struct fake_store f;
    struct db *db;
    struct rand_src rand;
};

static int setup(void **state)
{
    static struct fixture x;

    fake_store_open(&x.f);
    x.db = fake_store_side_door(&x.f);
    x.rand = rand_system();
    *state = &x;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *x = *state;

    db_close(x->db);
    fake_store_close(&x->f);
    return 0;
}

/* Bytes that differ only behind the eighth hex digit: keys with one prefix. */
static void same_start(void *ud, void *ret_bytes, size_t n)
{
    memset(ret_bytes, 0xab, n);
    ((uint8_t *)ret_bytes)[n - 1] = (*(uint8_t *)ud)++;
}

static int lookup(struct fixture *x, const char *key, char *ret_account)
{
    uint8_t hash[KEY_HASH_BYTES];

    key_hash(str_from(key), hash);
    return key_lookup(x->db, hash, ret_account);
}

static void a_key_finds_its_account(void **state)
{
    struct fixture *x = *state;
    char key[KEY_TEXT_BYTES], other[KEY_TEXT_BYTES], account[ACCOUNT_MAX_BYTES + 1];
    uint8_t bytes[32];

    assert_int_equal(key_create(x->db, STR("alice"), &x->rand, 7, key), 0);
    assert_int_equal(key_create(x->db, STR("bob"), &x->rand, 8, other), 0);
    assert_int_equal(strlen(key), 79);
    assert_memory_equal(key, "eigeninference-", 15);
    assert_int_equal(hex_decode(str_from(key + 15), bytes, 32), 0);
    assert_string_not_equal(key, other);
    assert_int_equal(lookup(x, key, account), 0);
    assert_string_equal(account, "alice");
    assert_int_equal(lookup(x, other, account), 0);
    assert_string_equal(account, "bob");
    key[78] = key[78] == '0' ? '1' : '0';
    assert_int_equal(lookup(x, key, account), ERR_NOT_FOUND);
    assert_int_equal(lookup(x, "", account), ERR_NOT_FOUND);
}

static void the_hash_is_sha256_of_the_text(void **state)
{
    uint8_t hash[KEY_HASH_BYTES];
    char hex[65];

    (void)state;
    key_hash(STR("abc"), hash); /* FIPS 180-2, appendix B.1 */
    hex_encode(hash, sizeof hash, hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

static void the_store_never_holds_the_key_itself(void **state)
{
    struct fixture *x = *state;
    static char bytes[1 << 20];
    char key[KEY_TEXT_BYTES], wal[128];
    const char *const files[] = {x->f.path, wal};

    assert_int_equal(key_create(x->db, STR("alice"), &x->rand, 7, key), 0);
    snprintf(wal, sizeof wal, "%s-wal", x->f.path);
    for (size_t i = 0; i < 2; i++) {
        FILE *file = fopen(files[i], "rb");
        size_t n;

        assert_non_null(file);
        n = fread(bytes, 1, sizeof bytes, file);
        assert_in_range(n, 1, sizeof bytes - 1);
        assert_null(memmem(bytes, n, key + 15 + 8, 56)); /* beyond the listed prefix */
        fclose(file);
    }
}

static void account_names_have_rules(void **state)
{
    static const struct {
        const char *name;
        int rc;
    } cases[] = {
        {"a", 0},
        {"Alice.B_c:d@e-9", 0},
        {"azAZ09._:@-", 0},
        {"a`", ERR_RANGE},
        {"a{", ERR_RANGE},
        {"A[", ERR_RANGE},
        {"/0", ERR_RANGE},
        {"9;", ERR_RANGE},
        {"", ERR_RANGE},
        {"with space", ERR_RANGE},
        {"../../etc", ERR_RANGE},
        {"k\xc3\xa4the", ERR_RANGE},
        {"x'; DROP TABLE holds; --", ERR_RANGE},
        {"world", ERR_DENIED},
        {"platform", ERR_DENIED},
        {"holds", ERR_DENIED},
        {"unclaimed", ERR_DENIED},
        {"provider:0123", ERR_DENIED},
    };
    struct fixture *x = *state;
    char key[KEY_TEXT_BYTES], longest[ACCOUNT_MAX_BYTES + 1];

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(key_create(x->db, str_from(cases[i].name), &x->rand, 0, key), cases[i].rc);
    memset(longest, 'x', sizeof longest);
    assert_int_equal(key_create(x->db, (struct str){longest, 128}, &x->rand, 0, key), 0);
    assert_int_equal(key_create(x->db, (struct str){longest, 129}, &x->rand, 0, key), ERR_RANGE);
    assert_int_equal(account_name_check((struct str){"a\0b", 3}), ERR_RANGE);
}

static void a_revoked_key_is_unknown(void **state)
{
    struct fixture *x = *state;
    char by_text[KEY_TEXT_BYTES], by_prefix[KEY_TEXT_BYTES], account[ACCOUNT_MAX_BYTES + 1];

    assert_int_equal(key_create(x->db, STR("alice"), &x->rand, 1, by_text), 0);
    assert_int_equal(key_create(x->db, STR("alice"), &x->rand, 2, by_prefix), 0);
    assert_int_equal(key_revoke(x->db, str_from(by_text), 3), 0);
    assert_int_equal(lookup(x, by_text, account), ERR_NOT_FOUND);
    assert_int_equal(lookup(x, by_prefix, account), 0);
    assert_int_equal(key_revoke(x->db, (struct str){by_prefix, KEY_PREFIX_BYTES}, 3), 0);
    assert_int_equal(lookup(x, by_prefix, account), ERR_NOT_FOUND);
    assert_int_equal(key_revoke(x->db, str_from(by_text), 4), ERR_NOT_FOUND);
    assert_int_equal(key_revoke(x->db, STR("eigeninference-"), 4), ERR_NOT_FOUND);
    assert_int_equal(key_revoke(x->db, STR(""), 4), ERR_NOT_FOUND);
}

static void a_prefix_of_several_keys_revokes_none(void **state)
{
    struct fixture *x = *state;
    char a[KEY_TEXT_BYTES], b[KEY_TEXT_BYTES], account[ACCOUNT_MAX_BYTES + 1];
    uint8_t n = 0;
    struct rand_src rand = {.fill = same_start, .ud = &n};

    assert_int_equal(key_create(x->db, STR("alice"), &rand, 1, a), 0);
    assert_int_equal(key_create(x->db, STR("bob"), &rand, 2, b), 0);
    assert_memory_equal(a, b, KEY_PREFIX_BYTES);
    assert_int_equal(key_revoke(x->db, (struct str){a, KEY_PREFIX_BYTES}, 3), ERR_CONFLICT);
    assert_int_equal(lookup(x, a, account), 0);
    assert_int_equal(lookup(x, b, account), 0);
    assert_int_equal(key_revoke(x->db, str_from(a), 3), 0);
    assert_int_equal(lookup(x, b, account), 0);
}

struct listed {
    size_t n;
    char text[2][200];
};

static void list_one(void *ud, const struct key_info *info)
{
    struct listed *l = ud;

    assert_in_range(l->n, 0, 1);
    snprintf(l->text[l->n++], sizeof l->text[0], "%.*s %.*s %lld %s", STR_ARG(info->prefix),
             STR_ARG(info->account), (long long)info->created_us,
             info->active ? "active" : "revoked");
}

static void keys_are_listed_by_prefix_oldest_first(void **state)
{
    struct fixture *x = *state;
    char key[KEY_TEXT_BYTES], expected[200];
    struct listed l = {0};

    assert_int_equal(key_create(x->db, STR("bob"), &x->rand, 20, key), 0);
    snprintf(expected, sizeof expected, "%.23s bob 20 revoked", key);
    assert_int_equal(key_revoke(x->db, str_from(key), 30), 0);
    assert_int_equal(key_create(x->db, STR("alice"), &x->rand, 10, key), 0);
    assert_int_equal(key_list(x->db, list_one, &l), 0);
    assert_int_equal(l.n, 2);
    assert_string_equal(l.text[1], expected);
    snprintf(expected, sizeof expected, "%.23s alice 10 active", key);
    assert_string_equal(l.text[0], expected);
}

static void a_key_is_looked_up_through_the_store(void **state)
{
    struct fixture *x = *state;
    char key[KEY_TEXT_BYTES];
    uint8_t hash[KEY_HASH_BYTES] = {0};
    struct key_lookup_op op;

    assert_int_equal(key_create(x->db, STR("alice"), &x->rand, 1, key), 0);
    key_lookup_op_init(&op, hash, NULL);
    assert_int_equal(store_run_sync(x->f.store, &op.op), ERR_NOT_FOUND);
    key_hash(str_from(key), hash);
    key_lookup_op_init(&op, hash, NULL);
    assert_int_equal(store_run_sync(x->f.store, &op.op), 0);
    assert_string_equal(op.account, "alice");
    assert_int_equal(op.balance_micro_usd, 0);
    assert_int_equal(op.settings.first_content_ms, 0);
    assert_int_equal(op.settings.request_deadline_ms, 0);
}

static void a_looked_up_key_brings_its_accounts_settings(void **state) /* FR-40 */
{
    static const struct account_settings mine = {8000, 20000}, bad = {-1, 0};
    struct fixture *x = *state;
    char key[KEY_TEXT_BYTES];
    uint8_t hash[KEY_HASH_BYTES];
    struct key_lookup_op op;

    assert_int_equal(key_create(x->db, STR("alice"), &x->rand, 1, key), 0);
    assert_int_equal(account_settings_set(x->db, STR("alice"), &mine), 0);
    assert_int_equal(account_settings_set(x->db, STR("alice"), &bad), ERR_STORE);
    assert_int_equal(account_settings_set(x->db, STR("bob"), &mine), ERR_NOT_FOUND);
    key_hash(str_from(key), hash);
    key_lookup_op_init(&op, hash, NULL);
    assert_int_equal(store_run_sync(x->f.store, &op.op), 0);
    assert_int_equal(op.settings.first_content_ms, 8000);
    assert_int_equal(op.settings.request_deadline_ms, 20000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
        TEST(a_key_finds_its_account),
        TEST(the_hash_is_sha256_of_the_text),
        TEST(the_store_never_holds_the_key_itself),
        TEST(account_names_have_rules),
        TEST(a_revoked_key_is_unknown),
        TEST(a_prefix_of_several_keys_revokes_none),
        TEST(keys_are_listed_by_prefix_oldest_first),
        TEST(a_key_is_looked_up_through_the_store),
        TEST(a_looked_up_key_brings_its_accounts_settings),
    };

    return cmocka_run_group_tests_name("store: keys", tests, NULL, NULL);
}
