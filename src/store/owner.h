/* SPDX-License-Identifier: Apache-2.0 */
/* One coordinator a store: a second one would take the first one's open holds for leftovers of a
 * crash and settle them. Commands that only read or add rows need no ownership. */
#ifndef DARKBLOOM_STORE_OWNER_H
#define DARKBLOOM_STORE_OWNER_H

#include "base/err.h"

/* Lock PATH-lock for this process; the kernel lets go of it however the process ends. *ret_fd is
 * closed to let go earlier. ERR_BUSY with the owner's process id; ERR_STORE: the file cannot be
 * made. */
int store_own(const char *path, int *ret_fd, struct err *ret_err);

#endif
