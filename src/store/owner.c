/* SPDX-License-Identifier: Apache-2.0 */
#include "store/owner.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/str.h"

/* SQLite locks the 512 bytes from 1 GiB on; this one is beyond them. */
#define OWNER_LOCK_BYTE (0x40000000 + 1024)

/* The owner's process id, for the message only: the lock decides. */
static int owner_refuse(const char *path, int lock_fd, struct err *ret_err)
{
    char text[24] = "";
    ssize_t n = pread(lock_fd, text, sizeof text - 1, 0);
    size_t digits = n > 0 ? strspn(text, "0123456789") : 0;

    return err_set(
        ret_err, ERR_BUSY,
        "%.150s is in use by another coordinator (process %.*s); stop that, or give this "
        "one another store.path",
        path, digits > 0 ? (int)digits : 1, digits > 0 ? text : "?");
}

int store_own(const char *path, struct store_owner *ret_owner, struct err *ret_err)
{
    char lock_path[STORE_LOCK_PATH_BYTES];
    int rc = store_lock_path(path, lock_path, ret_err);
    int fd;

    if (rc < 0)
        return rc;
    fd = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_errno(ret_err, ERR_STORE, errno, "%.150s cannot be opened", lock_path);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        rc = errno == EWOULDBLOCK
                 ? owner_refuse(path, fd, ret_err)
                 : err_errno(ret_err, ERR_STORE, errno, "cannot lock %.150s", lock_path);
        close(fd);
        return rc;
    }
    *ret_owner = (struct store_owner){.lock_fd = fd, .file_fd = -1};
    return 0;
}

int store_own_file(struct store_owner *owner, const char *path, struct err *ret_err)
{
#ifdef F_OFD_SETLK
    struct flock lock = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = OWNER_LOCK_BYTE, .l_len = 1};
    int rc = store_check_names(path, ret_err);
    int fd;

    if (rc < 0)
        return rc;
    fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return err_errno(ret_err, ERR_STORE, errno, "%.150s cannot be opened", path);
    if (fcntl(fd, F_OFD_SETLK, &lock) < 0) {
        rc = errno == EAGAIN || errno == EACCES
                 ? err_set(ret_err, ERR_BUSY,
                           "%.150s is in use by another coordinator under another name; stop "
                           "that, or give this one another store.path",
                           path)
                 : err_errno(ret_err, ERR_STORE, errno, "cannot lock %.150s", path);
        close(fd);
        return rc;
    }
    owner->file_fd = fd;
#else
    (void)owner;
    (void)path;
    (void)ret_err;
#endif
    return 0;
}

int store_own_mark(struct store_owner *owner, const char *path,
                   const char id[static STORE_ID_BYTES], struct err *ret_err)
{
    char text[24 + STORE_ID_BYTES];
    int n = snprintf(text, sizeof text, "%d\n%s\n", (int)getpid(), id);

    if (ftruncate(owner->lock_fd, 0) < 0 || pwrite(owner->lock_fd, text, (size_t)n, 0) != n)
        return err_errno(ret_err, ERR_STORE, errno, "%.150s-lock cannot be written", path);
    return 0;
}

void store_disown(struct store_owner *owner)
{
    if (owner->file_fd >= 0)
        close(owner->file_fd);
    close(owner->lock_fd);
}
