/* SPDX-License-Identifier: Apache-2.0 */
/* One process a signing key. The coordinator takes a second connection of the same key for the
 * first one's successor, so two processes with one key would throw each other out for ever. */
#ifndef DARKBLOOM_PROVIDER_KEY_LOCK_H
#define DARKBLOOM_PROVIDER_KEY_LOCK_H

#include "base/err.h"

/* Lock the key file for as long as *ret_fd is open (flock(2): the kernel lets go of it whatever
 * ends the process). 0; ERR_BUSY: another process has it, with the way out; ERR_IO. */
int key_lock(const char *path, int *ret_fd, struct err *ret_err);

#endif
