/* SPDX-License-Identifier: Apache-2.0 */
/* One coordinator a store: a second one would take the first one's open holds for leftovers of a
 * crash and settle them. Commands that only read or add rows need no ownership.
 *
 * Ownership is of the file, whatever name it is opened by: the lock file stands beside the file
 * that symbolic links lead to, a file with several names (hard links) is not opened at all
 * (place.h), and where the system has open file description locks (Linux) the database itself is
 * locked too, which also holds for one that was renamed or mounted elsewhere by itself.
 *
 * The lock file's text is "PID\nSTORE_ID\n". It stays when the process ends, and so is the marker
 * that a store was here (place.h). */
#ifndef DARKBLOOM_STORE_OWNER_H
#define DARKBLOOM_STORE_OWNER_H

#include <stdbool.h>

#include "base/err.h"
#include "store/place.h"

struct store_owner {
    int lock_fd; /* PATH-lock */
    int file_fd; /* the database; -1: not locked */
};

/* Lock `place`'s lock file, made with mode 0600, for this process; the kernel lets go of it however
 * the process ends. ERR_BUSY with the owner's process id; ERR_STORE: the file cannot be made. */
int store_own(const char *path, struct store_owner *ret_owner, struct err *ret_err);

/* Lock the database itself, before SQLite opens it: a process that closes any descriptor of a file
 * loses all its POSIX locks on it (fcntl(2)), so this one is closed after SQLite's. 0, ERR_BUSY, or
 * ERR_STORE. */
int store_own_file(struct store_owner *owner, const char *path, struct err *ret_err);

/* Write process id and store id into the lock file. 0 or ERR_STORE. */
int store_own_mark(struct store_owner *owner, const char *path,
                   const char id[static STORE_ID_BYTES], struct err *ret_err);

/* Let go. The lock file stays. */
void store_disown(struct store_owner *owner);

#endif
