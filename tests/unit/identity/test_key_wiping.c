/* SPDX-License-Identifier: Apache-2.0 */
/* L9: making a key, reading its file and signing leave no private number behind in freed memory:
 * every block that the process frees is looked through, by the sanitizer's hook where one is built
 * in, else by standing before the C library. */
#include <fcntl.h>
#include <malloc.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "identity/key_file.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

enum { NUMBER_BYTES = 32, PEM_PART_BYTES = 24 };

/* The number as in a file, as OpenSSL computes with it, and a part of it as base64 in the file. */
static struct {
    uint8_t big[NUMBER_BYTES], little[NUMBER_BYTES];
    char pem_part[PEM_PART_BYTES];
    bool known;
} secret;

static volatile size_t n_left_behind; /* the compiler thinks that it knows what free() changes */

/* What was freed before the secret was known, to be looked through then. */
static uint8_t freed[16 << 20];
static volatile size_t freed_bytes;

static bool holds_secret(const void *block, size_t n)
{
    return memmem(block, n, secret.big, sizeof secret.big) ||
           memmem(block, n, secret.little, sizeof secret.little) ||
           memmem(block, n, secret.pem_part, sizeof secret.pem_part);
}

static void look_through(const volatile void *p, size_t n)
{
    if (p && secret.known && holds_secret((const void *)p, n))
        n_left_behind++;
    if (!p || secret.known || n > sizeof freed - freed_bytes)
        return;
    for (size_t i = 0; i < n; i++)
        freed[freed_bytes + i] = ((const volatile uint8_t *)p)[i];
    freed_bytes += n;
}

#ifdef SANITIZED

/* As in <sanitizer/allocator_interface.h>, which Debian installs with clang only. */
int __sanitizer_install_malloc_and_free_hooks(void (*malloc_hook)(const volatile void *, size_t),
                                              void (*free_hook)(const volatile void *));
size_t __sanitizer_get_allocated_size(const volatile void *p);

static void on_malloc(const volatile void *p, size_t n)
{
    (void)p;
    (void)n;
}

static void on_free(const volatile void *p)
{
    look_through(p, p ? __sanitizer_get_allocated_size(p) : 0);
}

static void watch(void)
{
    assert_int_not_equal(__sanitizer_install_malloc_and_free_hooks(on_malloc, on_free), 0);
}

#else

void __libc_free(void *p);

void free(void *p)
{
    look_through(p, p ? malloc_usable_size(p) : 0);
    __libc_free(p);
}

static void watch(void) {}

#endif

/* The number of a key in a file, and how the file spells a part of it. */
static void learn(const char *path, EVP_PKEY *key)
{
    char pem[4096];
    int fd = open(path, O_RDONLY); /* stdio would copy it to its buffer */
    ssize_t n = read(fd, pem, sizeof pem - 1);
    BIGNUM *number = NULL;

    assert_true(n > 0);
    close(fd);
    pem[n] = 0;
    /* "-----BEGIN PRIVATE KEY-----\n", then the number is bytes 36 to 67 of what follows. */
    memcpy(secret.pem_part, strchr(pem, '\n') + 1 + 36 / 3 * 4, sizeof secret.pem_part);
    assert_int_equal(EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_PRIV_KEY, &number), 1);
    assert_int_equal(BN_bn2binpad(number, secret.big, NUMBER_BYTES), NUMBER_BYTES);
    assert_int_equal(BN_bn2lebinpad(number, secret.little, NUMBER_BYTES), NUMBER_BYTES);
    BN_clear_free(number);
    memset(pem, 0, sizeof pem);
    secret.known = true;
}

static void making_reading_and_signing_leave_no_private_number_behind(void **state)
{
    char dir[] = "/tmp/darkbloom-key-XXXXXX", path[64];
    EVP_PKEY *key = NULL;
    uint8_t signature[80], *block;
    size_t n = sizeof signature;
    EVP_MD_CTX *md;

    (void)state;
    watch();
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/key", dir);
    assert_int_equal(key_file_open(path, &key, NULL), 0);
    learn(path, key);
    assert_true(freed_bytes > 0 && freed_bytes < sizeof freed / 2);
    assert_false(holds_secret(freed, freed_bytes));
    block = malloc(NUMBER_BYTES); /* the watch must be able to see something */
    memcpy(block, secret.big, NUMBER_BYTES);
    free(block);
    assert_int_equal(n_left_behind, 1);

    EVP_PKEY_free(key);
    assert_int_equal(n_left_behind, 1);
    assert_int_equal(key_file_open(path, &key, NULL), 0);
    assert_int_equal(n_left_behind, 1);
    md = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestSignInit(md, NULL, EVP_sha256(), NULL, key), 1);
    assert_int_equal(EVP_DigestSign(md, signature, &n, (const uint8_t *)"x", 1), 1);
    EVP_MD_CTX_free(md);
    EVP_PKEY_free(key);
    assert_int_equal(n_left_behind, 1);
    secret.known = false;
    (void)unlink(path);
    (void)rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(making_reading_and_signing_leave_no_private_number_behind),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
