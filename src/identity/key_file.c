/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/key_file.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "identity/key_pem.h"

enum { PATH_BYTES = 4096, PEM_MAX_BYTES = 8 << 10, SECURE_HEAP_BYTES = 64 << 10 };

static bool key_file_is_p256(const EVP_PKEY *key)
{
    char group[32] = "";
    size_t n;

    return EVP_PKEY_is_a(key, "EC") &&
           EVP_PKEY_get_group_name((EVP_PKEY *)key, group, sizeof group, &n) == 1 &&
           strcmp(group, "prime256v1") == 0;
}

/* An encrypted key is refused: there is nobody to ask for its passphrase. */
static int key_file_no_passphrase(char *ret_text, int size, int writing, void *ud)
{
    (void)ret_text;
    (void)size;
    (void)writing;
    (void)ud;
    return -1;
}

/* Another form than ours, as other tools write it. OpenSSL's decoder leaves copies of the number in
 * freed memory. */
static EVP_PKEY *key_file_parse_foreign(struct str pem)
{
    BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, key_file_no_passphrase, NULL) : NULL;

    BIO_free(bio);
    if (key && key_file_is_p256(key))
        return key;
    EVP_PKEY_free(key);
    return NULL;
}

/* Read the whole file, which may be no larger than a key is. 0, ERR_LIMIT or ERR_IO. */
static int key_file_read(int fd, char ret_pem[static PEM_MAX_BYTES], size_t *ret_n)
{
    size_t at = 0;
    ssize_t n = 0;

    while (at < PEM_MAX_BYTES && (n = read(fd, ret_pem + at, PEM_MAX_BYTES - at)) > 0)
        at += (size_t)n;
    if (at == PEM_MAX_BYTES)
        return ERR_LIMIT;
    *ret_n = at;
    return n < 0 ? ERR_IO : 0;
}

static EVP_PKEY *key_file_parse(int fd)
{
    char *pem = OPENSSL_secure_zalloc(PEM_MAX_BYTES);
    EVP_PKEY *key = NULL;
    size_t n = 0;

    if (pem && key_file_read(fd, pem, &n) == 0) {
        key = key_pem_read((struct str){pem, n});
        if (!key)
            key = key_file_parse_foreign((struct str){pem, n});
    }
    OPENSSL_secure_clear_free(pem, PEM_MAX_BYTES);
    return key;
}

/* Open for reading only what may be a key file; not waiting, as a pipe would let us. */
static int key_file_open_private(const char *path, int *ret_fd, struct err *ret_err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct stat st;
    int rc = 0;

    if (fd < 0 && errno == ENOENT)
        return ERR_NOT_FOUND;
    if (fd < 0)
        return err_errno(ret_err, ERR_CONFIG, errno, "cannot read the key file %.150s", path);
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        rc = err_set(ret_err, ERR_CONFIG,
                     "%.120s is no file that could hold a key; name another with --key", path);
    else if (st.st_mode & 077)
        rc = err_set(ret_err, ERR_CONFIG,
                     "the key file %.120s can be read by others; run `chmod 600` on it", path);
    if (rc < 0)
        close(fd);
    else
        *ret_fd = fd;
    return rc;
}

/* 0, ERR_NOT_FOUND, or ERR_CONFIG. */
static int key_file_load(const char *path, EVP_PKEY **ret_key, struct err *ret_err)
{
    EVP_PKEY *key;
    int fd = -1, rc = key_file_open_private(path, &fd, ret_err);

    if (rc < 0)
        return rc;
    key = key_file_parse(fd);
    close(fd);
    if (!key)
        return err_set(
            ret_err, ERR_CONFIG,
            "%.120s holds no unencrypted P-256 private key; move it away to have a new one made",
            path);
    *ret_key = key;
    return 0;
}

static bool key_file_write_all(int fd, const char *text, long n)
{
    while (n > 0) {
        ssize_t written = write(fd, text, (size_t)n);

        if (written <= 0)
            return false;
        text += written;
        n -= written;
    }
    return true;
}

static int key_file_write(int fd)
{
    char *pem = OPENSSL_secure_zalloc(KEY_PEM_BYTES);
    bool ok = pem && key_pem_make(pem) == 0 && key_file_write_all(fd, pem, KEY_PEM_BYTES) &&
              fsync(fd) == 0;

    OPENSSL_secure_clear_free(pem, KEY_PEM_BYTES);
    return ok ? 0 : ERR_IO;
}

static void key_file_sync_directory(const char *path)
{
    char dir[PATH_BYTES];
    char *slash;
    int fd;

    snprintf(dir, sizeof dir, "%s", path);
    slash = strrchr(dir, '/');
    if (slash)
        *slash = 0;
    fd = open(slash ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    (void)fsync(fd); /* some file systems cannot; the key itself is on disk */
    close(fd);
}

/* Make a key under a temporary name and link it into place; who comes second uses the first's. */
static int key_file_create(const char *path, struct err *ret_err)
{
    char temporary[PATH_BYTES];
    int fd, rc;

    if (snprintf(temporary, sizeof temporary, "%s.XXXXXX", path) >= PATH_BYTES)
        return err_set(ret_err, ERR_CONFIG, "cannot make a key at %.150s", path);
    fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0)
        return err_errno(ret_err, ERR_CONFIG, errno, "cannot make the key file %.150s", path);
    rc = key_file_write(fd);
    close(fd);
    if (rc == 0 && link(temporary, path) < 0 && errno != EEXIST)
        rc = ERR_IO;
    (void)unlink(temporary);
    if (rc < 0)
        return err_errno(ret_err, ERR_CONFIG, errno, "cannot write the key file %.150s", path);
    key_file_sync_directory(path);
    return 0;
}

int key_file_open(const char *path, EVP_PKEY **ret_key, struct err *ret_err)
{
    int rc;

    /* OpenSSL keeps private numbers in locked memory once there is some; where there can be none,
     * it goes on without. */
    if (!CRYPTO_secure_malloc_initialized())
        (void)CRYPTO_secure_malloc_init(SECURE_HEAP_BYTES, 0);
    rc = key_file_load(path, ret_key, ret_err);
    if (rc != ERR_NOT_FOUND)
        return rc;
    rc = key_file_create(path, ret_err);
    return rc < 0 ? rc : key_file_load(path, ret_key, ret_err);
}
