/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/key_file.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES = 4096 };

static bool is_p256(const EVP_PKEY *key)
{
    char group[32] = "";
    size_t n;

    return EVP_PKEY_is_a(key, "EC") &&
           EVP_PKEY_get_group_name((EVP_PKEY *)key, group, sizeof group, &n) == 1 &&
           strcmp(group, "prime256v1") == 0;
}

/* An encrypted key is refused: there is nobody to ask for its passphrase. */
static int no_passphrase(char *ret_text, int size, int writing, void *ud)
{
    (void)ret_text;
    (void)size;
    (void)writing;
    (void)ud;
    return -1;
}

/* 0, ERR_NOT_FOUND, or ERR_CONFIG. */
static int load(const char *path, EVP_PKEY **ret_key, struct err *ret_err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    struct stat st;
    EVP_PKEY *key;
    FILE *f;

    if (fd < 0 && errno == ENOENT)
        return ERR_NOT_FOUND;
    if (fd < 0)
        return err_errno(ret_err, ERR_CONFIG, errno, "cannot read the key file %.150s", path);
    if (fstat(fd, &st) < 0 || st.st_mode & 077) {
        close(fd);
        return err_set(ret_err, ERR_CONFIG,
                       "the key file %.120s can be read by others; run `chmod 600` on it", path);
    }
    f = fdopen(fd, "r");
    key = f ? PEM_read_PrivateKey(f, NULL, no_passphrase, NULL) : NULL;
    if (f)
        fclose(f);
    else
        close(fd);
    if (!key || !is_p256(key)) {
        EVP_PKEY_free(key);
        return err_set(
            ret_err, ERR_CONFIG,
            "%.120s holds no unencrypted P-256 private key; move it away to have a new one made",
            path);
    }
    *ret_key = key;
    return 0;
}

static int write_key(int fd, EVP_PKEY *key)
{
    int copy = dup(fd);
    FILE *f = copy < 0 ? NULL : fdopen(copy, "w");
    int ok;

    if (!f) {
        if (copy >= 0)
            close(copy);
        return ERR_IO;
    }
    ok = PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL);
    if (fclose(f) != 0)
        ok = 0;
    return ok == 1 && fsync(fd) == 0 ? 0 : ERR_IO;
}

static void sync_directory(const char *path)
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
static int create(const char *path, struct err *ret_err)
{
    char temporary[PATH_BYTES];
    EVP_PKEY *key = EVP_EC_gen("P-256");
    int fd, rc;

    if (!key || snprintf(temporary, sizeof temporary, "%s.XXXXXX", path) >= PATH_BYTES) {
        EVP_PKEY_free(key);
        return err_set(ret_err, ERR_CONFIG, "cannot make a key at %.150s", path);
    }
    fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0) {
        EVP_PKEY_free(key);
        return err_errno(ret_err, ERR_CONFIG, errno, "cannot make the key file %.150s", path);
    }
    rc = write_key(fd, key);
    EVP_PKEY_free(key);
    close(fd);
    if (rc == 0 && link(temporary, path) < 0 && errno != EEXIST)
        rc = ERR_IO;
    (void)unlink(temporary);
    if (rc < 0)
        return err_errno(ret_err, ERR_CONFIG, errno, "cannot write the key file %.150s", path);
    sync_directory(path);
    return 0;
}

int key_file_open(const char *path, EVP_PKEY **ret_key, struct err *ret_err)
{
    int rc = load(path, ret_key, ret_err);

    if (rc != ERR_NOT_FOUND)
        return rc;
    rc = create(path, ret_err);
    return rc < 0 ? rc : load(path, ret_key, ret_err);
}
