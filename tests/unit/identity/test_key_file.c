/* SPDX-License-Identifier: Apache-2.0 */
/* The key in its file: made once, whole and private, found again, and never taken for good when it
 * is not. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "identity/key_file.h"

enum { FILE_MAX_BYTES = 4096, CREATORS = 8, ROUNDS = 5 };

struct place {
    char dir[64], path[96];
};

static int up(void **state)
{
    struct place *p = calloc(1, sizeof *p);

    (void)snprintf(p->dir, sizeof p->dir, "/tmp/darkbloom-key-XXXXXX");
    assert_non_null(mkdtemp(p->dir));
    (void)snprintf(p->path, sizeof p->path, "%s/key.pem", p->dir);
    *state = p;
    return 0;
}

/* Empties the directory and says how many entries there were. */
static int empty(const struct place *p)
{
    DIR *d = opendir(p->dir);
    struct dirent *e;
    int n = 0;

    assert_non_null(d);
    while ((e = readdir(d))) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        n++;
        assert_int_equal(unlinkat(dirfd(d), e->d_name, e->d_type == DT_DIR ? AT_REMOVEDIR : 0), 0);
    }
    closedir(d);
    return n;
}

static int down(void **state)
{
    struct place *p = *state;

    (void)empty(p);
    assert_int_equal(rmdir(p->dir), 0);
    free(p);
    return 0;
}

static size_t read_file(const char *path, char *ret_text)
{
    FILE *f = fopen(path, "r");
    size_t n;

    assert_non_null(f);
    n = fread(ret_text, 1, FILE_MAX_BYTES, f);
    fclose(f);
    return n;
}

static void write_file(const char *path, const void *text, size_t n, mode_t mode)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(path, mode), 0);
}

static void a_new_key_is_private_whole_and_found_again(void **state)
{
    const struct place *p = *state;
    mode_t before = umask(0);
    EVP_PKEY *first = NULL, *second = NULL;
    struct stat st;

    assert_int_equal(key_file_open(p->path, &first, NULL), 0);
    umask(before);
    assert_int_equal(stat(p->path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(key_file_open(p->path, &second, NULL), 0);
    assert_int_equal(EVP_PKEY_eq(first, second), 1);
    EVP_PKEY_free(first);
    EVP_PKEY_free(second);
    assert_int_equal(empty(p), 1); /* the key and no leftover */
}

static void another_file_is_another_key(void **state)
{
    const struct place *p = *state;
    EVP_PKEY *first = NULL, *second = NULL;

    assert_int_equal(key_file_open(p->path, &first, NULL), 0);
    assert_int_equal(unlink(p->path), 0);
    assert_int_equal(key_file_open(p->path, &second, NULL), 0);
    assert_int_not_equal(EVP_PKEY_eq(first, second), 1);
    EVP_PKEY_free(first);
    EVP_PKEY_free(second);
}

static void a_key_that_others_can_read_is_refused_with_the_way_out(void **state)
{
    static const mode_t modes[] = {0640, 0604, 0620, 0602, 0610, 0601, 0666, 0777};
    const struct place *p = *state;
    EVP_PKEY *key = NULL;

    assert_int_equal(key_file_open(p->path, &key, NULL), 0);
    EVP_PKEY_free(key);
    key = NULL;
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        struct err e = {0};
        struct stat st;

        assert_int_equal(chmod(p->path, modes[i]), 0);
        assert_int_equal(key_file_open(p->path, &key, &e), ERR_CONFIG);
        assert_null(key);
        assert_non_null(strstr(e.text, p->path));
        assert_non_null(strstr(e.text, "chmod 600"));
        assert_int_equal(stat(p->path, &st), 0);
        assert_int_equal(st.st_mode & 07777, modes[i]);
    }
    assert_int_equal(chmod(p->path, 0400), 0);
    assert_int_equal(key_file_open(p->path, &key, NULL), 0);
    EVP_PKEY_free(key);
}

/* --- files that hold something else --- */

static void assert_refused_and_kept(const char *path, const char *what)
{
    char before[FILE_MAX_BYTES], after[FILE_MAX_BYTES];
    size_t n = read_file(path, before);
    EVP_PKEY *key = NULL;
    struct err e = {0};

    if (key_file_open(path, &key, &e) != ERR_CONFIG)
        fail_msg("%s is accepted", what);
    assert_null(key);
    assert_non_null(strstr(e.text, path));
    assert_non_null(strstr(e.text, "move it away"));
    assert_int_equal(read_file(path, after), n);
    assert_memory_equal(before, after, n);
}

static void a_truncated_key_is_refused_at_each_length_and_never_overwritten(void **state)
{
    const struct place *p = *state;
    char whole[FILE_MAX_BYTES];
    EVP_PKEY *key = NULL;
    size_t n, end;

    assert_int_equal(key_file_open(p->path, &key, NULL), 0);
    EVP_PKEY_free(key);
    n = read_file(p->path, whole);
    end = n - strlen("-----END PRIVATE KEY-----\n"); /* without its last dash it is still whole */
    for (size_t cut = 0; cut <= end; cut++) {
        char what[32];

        (void)snprintf(what, sizeof what, "a key cut at %zu", cut);
        write_file(p->path, whole, cut, 0600);
        assert_refused_and_kept(p->path, what);
    }
}

static void write_key(const struct place *p, EVP_PKEY *key, bool public_only)
{
    FILE *f = fopen(p->path, "w");

    assert_non_null(key);
    assert_non_null(f);
    assert_int_equal(chmod(p->path, 0600), 0);
    assert_int_equal(public_only ? PEM_write_PUBKEY(f, key)
                                 : PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL),
                     1);
    assert_int_equal(fclose(f), 0);
    EVP_PKEY_free(key);
}

static void what_is_no_p256_private_key_is_refused(void **state)
{
    static const char text[] = "not a key\n";
    const struct place *p = *state;

    write_key(p, EVP_EC_gen("P-384"), false);
    assert_refused_and_kept(p->path, "P-384");
    write_key(p, EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), false);
    assert_refused_and_kept(p->path, "Ed25519");
    write_key(p, EVP_EC_gen("P-256"), true);
    assert_refused_and_kept(p->path, "a public key");
    write_file(p->path, text, sizeof text - 1, 0600);
    assert_refused_and_kept(p->path, "a text");
}

/* Both of the forms that OpenSSL writes; the second is none of ours and goes through its decoder.
 */
static void a_key_that_openssl_wrote_is_taken(void **state)
{
    const struct place *p = *state;

    for (int form = 0; form < 2; form++) {
        EVP_PKEY *key = EVP_EC_gen("P-256"), *found = NULL;
        BIO *bio = BIO_new_file(p->path, "w");

        assert_non_null(bio);
        assert_int_equal(chmod(p->path, 0600), 0);
        assert_int_equal(
            form ? PEM_write_bio_PrivateKey_traditional(bio, key, NULL, NULL, 0, NULL, NULL)
                 : PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL),
            1);
        BIO_free(bio);
        assert_int_equal(key_file_open(p->path, &found, NULL), 0);
        assert_int_equal(EVP_PKEY_eq(found, key), 1);
        EVP_PKEY_free(key);
        EVP_PKEY_free(found);
    }
}

static void replace_in_file(const char *path, const char *whole, size_t n, size_t at, char c)
{
    char text[FILE_MAX_BYTES];

    memcpy(text, whole, n);
    text[at] = c;
    write_file(path, text, n, 0600);
}

/* The public half is computed, so that it belongs to the private one whatever the file says. */
static void a_changed_key_is_another_key_or_none(void **state)
{
    const struct place *p = *state;
    char whole[FILE_MAX_BYTES];
    EVP_PKEY *key = NULL;
    size_t n;

    assert_int_equal(key_file_open(p->path, &key, NULL), 0);
    n = read_file(p->path, whole);
    for (size_t at = 0; at < n; at++) {
        EVP_PKEY *found = NULL;
        uint8_t signature[80];
        size_t signature_n = sizeof signature;
        EVP_MD_CTX *md = EVP_MD_CTX_new();

        replace_in_file(p->path, whole, n, at, whole[at] == 'A' ? 'B' : 'A');
        if (key_file_open(p->path, &found, NULL) == 0) {
            assert_int_equal(EVP_DigestSignInit(md, NULL, EVP_sha256(), NULL, found), 1);
            assert_int_equal(EVP_DigestSign(md, signature, &signature_n, (const uint8_t *)"x", 1),
                             1);
            EVP_MD_CTX_reset(md);
            assert_int_equal(EVP_DigestVerifyInit(md, NULL, EVP_sha256(), NULL, found), 1);
            assert_int_equal(EVP_DigestVerify(md, signature, signature_n, (const uint8_t *)"x", 1),
                             1);
        }
        EVP_MD_CTX_free(md);
        EVP_PKEY_free(found);
    }
    EVP_PKEY_free(key);
}

static void a_link_or_a_directory_is_no_key_file(void **state)
{
    const struct place *p = *state;
    EVP_PKEY *key = NULL;
    char other[128];
    struct err e = {0};

    (void)snprintf(other, sizeof other, "%s/other.pem", p->dir);
    assert_int_equal(key_file_open(other, &key, NULL), 0);
    EVP_PKEY_free(key);
    key = NULL;
    assert_int_equal(symlink(other, p->path), 0);
    assert_int_equal(key_file_open(p->path, &key, &e), ERR_CONFIG);
    assert_non_null(strstr(e.text, p->path));
    assert_int_equal(unlink(p->path), 0);
    assert_int_equal(mkdir(p->path, 0700), 0);
    assert_int_equal(key_file_open(p->path, &key, &e), ERR_CONFIG);
    assert_non_null(strstr(e.text, "no file"));
    assert_int_equal(rmdir(p->path), 0);
    assert_int_equal(mkfifo(p->path, 0600), 0); /* nobody writes: opening it must not wait */
    assert_int_equal(key_file_open(p->path, &key, &e), ERR_CONFIG);
    assert_non_null(strstr(e.text, "no file"));
    assert_null(key);
}

static void a_file_larger_than_any_key_is_none(void **state)
{
    static char text[64 << 10];
    const struct place *p = *state;
    EVP_PKEY *key = NULL;
    struct err e = {0};

    memset(text, '\n', sizeof text);
    write_file(p->path, text, sizeof text, 0600);
    assert_int_equal(key_file_open(p->path, &key, &e), ERR_CONFIG);
    assert_non_null(strstr(e.text, "move it away"));
}

static void the_private_number_is_in_locked_memory(void **state)
{
    const struct place *p = *state;
    size_t before = CRYPTO_secure_used();
    EVP_PKEY *key = NULL;

    assert_int_equal(key_file_open(p->path, &key, NULL), 0);
    assert_true(CRYPTO_secure_used() > before);
    EVP_PKEY_free(key);
    assert_int_equal(CRYPTO_secure_used(), before);
}

static void a_place_that_cannot_hold_a_key_is_named(void **state)
{
    const struct place *p = *state;
    EVP_PKEY *key = NULL;
    char path[160];
    struct err e = {0};

    (void)snprintf(path, sizeof path, "%s/missing/key.pem", p->dir);
    assert_int_equal(key_file_open(path, &key, &e), ERR_CONFIG);
    assert_non_null(strstr(e.text, path));
    assert_non_null(strstr(e.text, strerror(ENOENT)));
    assert_null(key);
}

/* A daemon has nobody to ask: with the passphrase at hand on its input it must not even read it. */
static int open_with_passphrase_on_stdin(const struct place *p)
{
    int line[2], status;
    pid_t child;

    assert_int_equal(pipe(line), 0);
    child = fork();
    if (child == 0) {
        EVP_PKEY *key = NULL;

        (void)setsid(); /* no terminal */
        (void)dup2(line[0], STDIN_FILENO);
        (void)dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
        _exit(key_file_open(p->path, &key, NULL) == ERR_CONFIG ? 0 : 1);
    }
    assert_int_equal(write(line[1], "secret\n", 7), 7);
    close(line[0]);
    close(line[1]);
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void an_encrypted_key_is_refused_without_asking_for_its_passphrase(void **state)
{
    const struct place *p = *state;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    FILE *f = fopen(p->path, "w");

    assert_non_null(f);
    assert_int_equal(chmod(p->path, 0600), 0);
    assert_int_equal(PEM_write_PrivateKey(f, key, EVP_aes_128_cbc(),
                                          (const unsigned char *)"secret", 6, NULL, NULL),
                     1);
    assert_int_equal(fclose(f), 0);
    EVP_PKEY_free(key);
    assert_int_equal(open_with_passphrase_on_stdin(p), 0);
}

/* --- at the same time --- */

/* A child: waits until the line is closed, opens, reports the public half. */
static void create_and_report(const struct place *p, const int start[2], int out)
{
    EVP_PKEY *key = NULL;
    unsigned char der[256], *at = der;
    char byte;
    int n;

    close(start[1]);
    if (read(start[0], &byte, 1) != 0 || key_file_open(p->path, &key, NULL) < 0)
        _exit(1);
    memset(der, 0, sizeof der);
    n = i2d_PUBKEY(key, &at);
    _exit(n > 0 && write(out, der, sizeof der) == sizeof der ? 0 : 2);
}

static void creators_at_the_same_time_end_with_one_key(void **state)
{
    const struct place *p = *state;

    for (int round = 0; round < ROUNDS; round++) {
        unsigned char first[256], next[256];
        int start[2], reports[2], status;

        assert_int_equal(pipe(start), 0);
        assert_int_equal(pipe(reports), 0);
        for (int i = 0; i < CREATORS; i++) {
            if (fork() == 0)
                create_and_report(p, start, reports[1]);
        }
        close(start[1]); /* all at once */
        for (int i = 0; i < CREATORS; i++) {
            assert_true(wait(&status) > 0);
            assert_int_equal(status, 0);
        }
        for (int i = 0; i < CREATORS; i++) {
            assert_int_equal(read(reports[0], i ? next : first, sizeof next), sizeof next);
            if (i)
                assert_memory_equal(first, next, sizeof next);
        }
        close(start[0]);
        close(reports[0]);
        close(reports[1]);
        assert_int_equal(empty(p), 1);
    }
}

/* What a creator that was killed leaves behind is no obstacle to the next one. */
static void a_leftover_of_a_killed_creator_is_no_obstacle(void **state)
{
    const struct place *p = *state;
    EVP_PKEY *key = NULL;
    char leftover[128];

    (void)snprintf(leftover, sizeof leftover, "%s.a1b2c3", p->path);
    write_file(leftover, "-----BEGIN", 10, 0600);
    assert_int_equal(key_file_open(p->path, &key, NULL), 0);
    EVP_PKEY_free(key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_new_key_is_private_whole_and_found_again, up, down),
        cmocka_unit_test_setup_teardown(another_file_is_another_key, up, down),
        cmocka_unit_test_setup_teardown(a_key_that_others_can_read_is_refused_with_the_way_out, up,
                                        down),
        cmocka_unit_test_setup_teardown(
            a_truncated_key_is_refused_at_each_length_and_never_overwritten, up, down),
        cmocka_unit_test_setup_teardown(what_is_no_p256_private_key_is_refused, up, down),
        cmocka_unit_test_setup_teardown(a_link_or_a_directory_is_no_key_file, up, down),
        cmocka_unit_test_setup_teardown(a_key_that_openssl_wrote_is_taken, up, down),
        cmocka_unit_test_setup_teardown(a_link_or_a_directory_is_no_key_file, up, down),
        cmocka_unit_test_setup_teardown(a_changed_key_is_another_key_or_none, up, down),
        cmocka_unit_test_setup_teardown(a_link_or_a_directory_is_no_key_file, up, down),
        cmocka_unit_test_setup_teardown(a_file_larger_than_any_key_is_none, up, down),
        cmocka_unit_test_setup_teardown(the_private_number_is_in_locked_memory, up, down),
        cmocka_unit_test_setup_teardown(a_place_that_cannot_hold_a_key_is_named, up, down),
        cmocka_unit_test_setup_teardown(
            an_encrypted_key_is_refused_without_asking_for_its_passphrase, up, down),
        cmocka_unit_test_setup_teardown(creators_at_the_same_time_end_with_one_key, up, down),
        cmocka_unit_test_setup_teardown(a_leftover_of_a_killed_creator_is_no_obstacle, up, down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
