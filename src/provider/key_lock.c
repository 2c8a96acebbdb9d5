/* SPDX-License-Identifier: Apache-2.0 */
#include "provider/key_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

int key_lock(const char *path, int *ret_fd, struct err *ret_err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int error;

    if (fd < 0)
        return err_errno(ret_err, ERR_IO, errno, "cannot open the key %.150s to lock it", path);
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
        *ret_fd = fd;
        return 0;
    }
    error = errno;
    close(fd);
    if (error == EWOULDBLOCK)
        return err_set(ret_err, ERR_BUSY,
                       "another process serves with the key %.150s; stop it, or give this one a "
                       "key of its own: --key FILE",
                       path);
    return err_errno(ret_err, ERR_IO, error, "cannot lock the key %.150s", path);
}
