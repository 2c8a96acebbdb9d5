/* SPDX-License-Identifier: Apache-2.0 */
#include "provider/file_hash.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <unistd.h>

#include "base/b64.h"

enum { DIGEST_BYTES = 32, BLOCK_BYTES = 64 << 10 };

/* The next block; 0 at the end, -1: it cannot be read. */
static ssize_t file_hash_read(int fd, uint8_t *block, off_t at)
{
    ssize_t n;

    do
        n = pread(fd, block, BLOCK_BYTES, at);
    while (n < 0 && errno == EINTR);
    return n;
}

static int file_hash_digest(int fd, uint8_t ret_digest[static DIGEST_BYTES])
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    uint8_t block[BLOCK_BYTES];
    off_t at = 0;
    ssize_t n = -1;
    bool ok = md && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1;

    while (ok && (n = file_hash_read(fd, block, at)) > 0) {
        ok = EVP_DigestUpdate(md, block, (size_t)n) == 1;
        at += n;
    }
    ok = ok && n == 0 && EVP_DigestFinal_ex(md, ret_digest, NULL) == 1;
    EVP_MD_CTX_free(md);
    return ok ? 0 : ERR_IO;
}

int file_hash_fd(int fd, const char *path, const char *what, char ret_hex[static FILE_HASH_BYTES],
                 struct err *ret_err)
{
    uint8_t bytes[DIGEST_BYTES];

    if (file_hash_digest(fd, bytes) < 0)
        return err_set(ret_err, ERR_IO, "%s %.150s cannot be read to its end", what, path);
    hex_encode(bytes, sizeof bytes, ret_hex);
    return 0;
}

int file_hash(const char *path, const char *what, char ret_hex[static FILE_HASH_BYTES],
              struct err *ret_err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int rc;

    if (fd < 0)
        return err_errno(ret_err, ERR_IO, errno, "cannot read %s %.150s", what, path);
    rc = file_hash_fd(fd, path, what, ret_hex, ret_err);
    close(fd);
    return rc;
}
