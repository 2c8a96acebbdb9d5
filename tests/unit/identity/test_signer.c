/* SPDX-License-Identifier: Apache-2.0 */
/* The signer signs statements, never digests: what has not the shape of its kind is refused, and
 * every accepted question is answered exactly once, later. That what it signs verifies is tested in
 * tests/unit/attest/test_our_signer.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/b64.h"
#include "base/buf.h"
#include "identity/signer.h"

enum { POSTS_MAX = 16, BUF_BYTES = 1 << 16 };

#define X25519 "j0DFrbaPJWJK5bIU6nZ6bslNgp09e14a0bpvPiE4KF8="
#define NONCE  "n2xMRAhbV9mV8LDvYp4SWiVyXntyE14nNisKRLoJLFs="
#define TIME   "2026-11-23T20:51:36Z"
#define HASH   "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

struct desk {
    char dir[64], path[96];
    struct signer *signer;
    struct {
        void (*fn)(void *arg);
        void *arg;
    } posts[POSTS_MAX];
    size_t n_posts, n_run;
    int codes[POSTS_MAX], order[POSTS_MAX];
    size_t n_answers;
    struct buf blob;
};

static void post(void *ud, void (*fn)(void *arg), void *arg)
{
    struct desk *d = ud;

    assert_true(d->n_posts < POSTS_MAX);
    d->posts[d->n_posts].fn = fn;
    d->posts[d->n_posts++].arg = arg;
}

static void run_posts(struct desk *d)
{
    for (; d->n_run < d->n_posts; d->n_run++)
        d->posts[d->n_run].fn(d->posts[d->n_run].arg);
}

static int up(void **state)
{
    struct desk *d = calloc(1, sizeof *d);
    const struct signer_post how = {post, d};

    (void)snprintf(d->dir, sizeof d->dir, "/tmp/darkbloom-signer-XXXXXX");
    assert_non_null(mkdtemp(d->dir));
    (void)snprintf(d->path, sizeof d->path, "%s/key", d->dir);
    assert_int_equal(signer_soft_open(d->path, &how, &d->signer, NULL), 0);
    buf_init(&d->blob, BUF_BYTES);
    *state = d;
    return 0;
}

static int down(void **state)
{
    struct desk *d = *state;

    signer_close(d->signer);
    run_posts(d); /* those that come after the end must find nothing */
    (void)unlink(d->path);
    (void)rmdir(d->dir);
    buf_free(&d->blob);
    free(d);
    return 0;
}

struct question {
    struct desk *desk;
    int number;
};

static void on_signed(void *ud, const struct signer_result *r)
{
    const struct question *q = ud;
    struct desk *d = q->desk;

    assert_true(d->n_answers < POSTS_MAX);
    d->order[d->n_answers] = q->number;
    d->codes[d->n_answers++] = r->code;
    buf_clear(&d->blob);
    assert_int_equal(buf_append_str(&d->blob, r->blob), 0);
}

#define CHALLENGE(n, t)                                         \
    {                                                           \
        .kind = SIGN_CHALLENGE, .challenge = { STR(n), STR(t) } \
    }
#define STATUS(n, t)                                                           \
    {                                                                          \
        .kind = SIGN_STATUS, .status = {.nonce = STR(n), .timestamp = STR(t) } \
    }
#define BLOB(k, t)                                                                         \
    {                                                                                      \
        .kind = SIGN_BLOB, .blob = {.encryption_public_key = STR(k), .timestamp = STR(t) } \
    }
#define COMPLETION(id, tokens, text)                                          \
    {                                                                         \
        .kind = SIGN_COMPLETION, .completion = { STR(id), tokens, STR(text) } \
    }

static const struct signer_statement good[] = {
    CHALLENGE(NONCE, TIME),
    CHALLENGE(NONCE, "2026-11-23T20:51:36.123456789+01:00"),
    STATUS(NONCE, TIME),
    BLOB(X25519, TIME),
    COMPLETION("r1", 0, ""),
    COMPLETION("8b1f60a4-5d2e-4e55-9f1a-d0a9c1b2e3f4", 7, "anything: \xC3\xA9 \n" HASH),
};

static const struct signer_statement bad[] = {
    CHALLENGE("", TIME),
    CHALLENGE("AAAA", TIME),
    CHALLENGE("n2xMRAhbV9mV8LDvYp4SWiVyXntyE14nNisKRLoJLA==", TIME), /* 31 bytes */
    CHALLENGE("n2xMRAhbV9mV8LDvYp4SWiVyXntyE14nNisKRLoJLFsA", TIME), /* 33 bytes */
    CHALLENGE("n2xMRAhbV9mV8LDvYp4SWiVyXntyE14nNisKRLoJLF-=", TIME),
    CHALLENGE("{\"nonce\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}", TIME),
    CHALLENGE(NONCE, ""),
    CHALLENGE(NONCE, "2026-11-23"),
    CHALLENGE(NONCE, "2026-11-23T20:51:36"),
    CHALLENGE(NONCE, "2026-11-23T20:51:36Z\n"),
    CHALLENGE(NONCE, "2026-11-23 20:51:36Z"),
    CHALLENGE(NONCE, "2026-11-23T20:51:36Zulu"),
    CHALLENGE(NONCE, "----------T---------"),
    CHALLENGE(NONCE, "2026-00000T000000000Z"),
    CHALLENGE(NONCE, "2026-11-23T20:51:36.0000000000000000000000000000000000000000000000Z"),
    STATUS("AAAA", TIME),
    STATUS(NONCE, "noon"),
    BLOB("", TIME),
    BLOB("AAAA", TIME),
    BLOB(X25519, ""),
    BLOB("!2xMRAhbV9mV8LDvYp4SWiVyXntyE14nNisKRLoJLFs=", TIME),
    {.kind = SIGN_BLOB,
     .blob = {.encryption_public_key = STR(X25519),
              .timestamp = STR(TIME),
              .chip_name = STR(HASH HASH HASH HASH "x")}},
    {.kind = SIGN_BLOB,
     .blob = {.encryption_public_key = STR(X25519),
              .timestamp = STR(TIME),
              .os_version = STR("\xFF")}},
    COMPLETION("", 1, "text"),
    COMPLETION("a:1", 1, "text"), /* would share its bytes with ("a", 1, "1:text") */
    COMPLETION("a\n", 1, "text"),
    COMPLETION("a\"b", 1, "text"),
    COMPLETION("a\0b", 1, "text"),
    COMPLETION(HASH HASH "x", 1, "text"),
    COMPLETION("a", -1, "text"),
    {.kind = (enum signer_kind)99},
};

static void what_has_the_shape_of_its_kind_is_signed(void **state)
{
    struct desk *d = *state;
    struct question q = {d, 1};

    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        if (signer_sign(d->signer, &good[i], on_signed, &q) != 0)
            fail_msg("statement %zu", i);
    }
    assert_int_equal(d->n_answers, 0);
    run_posts(d);
    assert_int_equal(d->n_answers, sizeof good / sizeof good[0]);
    for (size_t i = 0; i < d->n_answers; i++)
        assert_int_equal(d->codes[i], 0);
}

static void what_has_not_is_refused_and_not_answered(void **state)
{
    struct desk *d = *state;
    struct question q = {d, 1};

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (signer_sign(d->signer, &bad[i], on_signed, &q) != ERR_RANGE)
            fail_msg("statement %zu is signed", i);
    }
    run_posts(d);
    assert_int_equal(d->n_posts, 0);
    assert_int_equal(d->n_answers, 0);
}

static void answers_come_in_the_order_of_the_questions(void **state)
{
    struct desk *d = *state;
    struct question questions[3];

    for (int i = 0; i < 3; i++) {
        questions[i] = (struct question){d, i};
        assert_int_equal(signer_sign(d->signer, &good[0], on_signed, &questions[i]), 0);
    }
    run_posts(d);
    assert_int_equal(d->n_answers, 3);
    for (int i = 0; i < 3; i++)
        assert_int_equal(d->order[i], i);
}

static void closing_answers_what_is_pending_as_cancelled_and_only_once(void **state)
{
    struct desk *d = *state;
    struct question q = {d, 1};

    assert_int_equal(signer_sign(d->signer, &good[0], on_signed, &q), 0);
    assert_int_equal(signer_sign(d->signer, &good[0], on_signed, &q), 0);
    signer_close(d->signer);
    d->signer = NULL;
    assert_int_equal(d->n_answers, 2);
    assert_int_equal(d->codes[0], ERR_CANCELLED);
    assert_int_equal(d->codes[1], ERR_CANCELLED);
    run_posts(d);
    assert_int_equal(d->n_answers, 2);
}

static void the_public_key_is_64_bytes_and_the_same_after_a_restart(void **state)
{
    struct desk *d = *state;
    const struct signer_post how = {post, d};
    char before[128];
    uint8_t bytes[80];
    size_t n;

    (void)snprintf(before, sizeof before, "%s", signer_public_b64(d->signer));
    assert_int_equal(b64_decode(str_from(before), bytes, sizeof bytes, &n), 0);
    assert_int_equal(n, 64);
    signer_close(d->signer);
    assert_int_equal(signer_soft_open(d->path, &how, &d->signer, NULL), 0);
    assert_string_equal(signer_public_b64(d->signer), before);
}

/* Keys in the order and the spelling of the existing helper, for it is these bytes that are signed.
 */
static void an_attestation_is_written_exactly_so(void **state)
{
    struct desk *d = *state;
    struct question q = {d, 1};
    const struct signer_statement st = {.kind = SIGN_BLOB,
                                        .blob = {.binary_hash = STR(HASH),
                                                 .chip_name = STR("c\"<"),
                                                 .hardware_model = STR("h"),
                                                 .os_version = STR(""),
                                                 .encryption_public_key = STR(X25519),
                                                 .timestamp = STR(TIME),
                                                 .authenticated_root = true,
                                                 .rdma_disabled = true}};
    struct buf expected;

    buf_init(&expected, BUF_BYTES);
    assert_int_equal(
        buf_printf(&expected,
                   "{\"attestation\":{\"authenticatedRootEnabled\":true,\"binaryHash\":\"" HASH
                   "\",\"chipName\":\"c\\\"<\",\"encryptionPublicKey\":\"" X25519
                   "\",\"hardwareModel\":\"h\",\"hypervisorActive\":false,\"osVersion\":\"\","
                   "\"publicKey\":\"%s\",\"rdmaDisabled\":true,\"secureBootEnabled\":false,"
                   "\"secureEnclaveAvailable\":false,\"sipEnabled\":false,\"timestamp\":\"" TIME
                   "\"},\"signature\":\"",
                   signer_public_b64(d->signer)),
        0);
    assert_int_equal(signer_sign(d->signer, &st, on_signed, &q), 0);
    run_posts(d);
    assert_int_equal(d->codes[0], 0);
    if (!str_starts(buf_view(&d->blob), buf_view(&expected)))
        fail_msg("%.*s", STR_ARG(buf_view(&d->blob)));
    buf_free(&expected);
}

static void a_key_file_that_is_no_key_is_said_to_be_none(void **state)
{
    struct desk *d = *state;
    const struct signer_post how = {post, d};
    struct signer *s = NULL;
    struct err e = {0};

    assert_int_equal(signer_soft_open("/dev/null/key", &how, &s, &e), ERR_CONFIG);
    assert_null(s);
    assert_non_null(strstr(e.text, "/dev/null/key"));
    signer_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_has_the_shape_of_its_kind_is_signed, up, down),
        cmocka_unit_test_setup_teardown(what_has_not_is_refused_and_not_answered, up, down),
        cmocka_unit_test_setup_teardown(answers_come_in_the_order_of_the_questions, up, down),
        cmocka_unit_test_setup_teardown(closing_answers_what_is_pending_as_cancelled_and_only_once,
                                        up, down),
        cmocka_unit_test_setup_teardown(the_public_key_is_64_bytes_and_the_same_after_a_restart, up,
                                        down),
        cmocka_unit_test_setup_teardown(an_attestation_is_written_exactly_so, up, down),
        cmocka_unit_test_setup_teardown(a_key_file_that_is_no_key_is_said_to_be_none, up, down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
