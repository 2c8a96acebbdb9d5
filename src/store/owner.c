/* SPDX-License-Identifier: Apache-2.0 */
#include "store/owner.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/str.h"

/* The owner's process id, for the message only: the lock decides. */
static int refuse(int fd, const char *path, struct err *ret_err)
{
    char pid[24] = "";
    ssize_t n = pread(fd, pid, sizeof pid - 1, 0);

    return err_set(
        ret_err, ERR_BUSY,
        "%.150s is in use by another coordinator (process %.*s); stop that, or give this "
        "one another store.path",
        path, n > 0 ? (int)n : 1, n > 0 ? pid : "?");
}

int store_own(const char *path, int *ret_fd, struct err *ret_err)
{
    char lock_path[PATH_MAX], pid[24];
    int n = snprintf(lock_path, sizeof lock_path, "%s-lock", path);
    int fd, rc;

    if (n < 0 || (size_t)n >= sizeof lock_path)
        return err_set(ret_err, ERR_STORE, "the store's path is too long");
    fd = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_errno(ret_err, ERR_STORE, errno, "%.150s cannot be opened", lock_path);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        rc = errno == EWOULDBLOCK
                 ? refuse(fd, path, ret_err)
                 : err_errno(ret_err, ERR_STORE, errno, "cannot lock %.150s", lock_path);
        close(fd);
        return rc;
    }
    n = snprintf(pid, sizeof pid, "%d", (int)getpid());
    if (ftruncate(fd, 0) < 0 || pwrite(fd, pid, (size_t)n, 0) != n) {
        rc = err_errno(ret_err, ERR_STORE, errno, "cannot write %.150s", lock_path);
        close(fd);
        return rc;
    }
    *ret_fd = fd;
    return 0;
}
