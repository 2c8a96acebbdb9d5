/* SPDX-License-Identifier: Apache-2.0 */
/* What kind of file system a file lies on, for messages. */
#ifndef DARKBLOOM_STORE_FSNAME_H
#define DARKBLOOM_STORE_FSNAME_H

enum { FSNAME_BYTES = 24 };

/* "ext4", "nfs" …; the kernel's number in hexadecimal for one that has no name here; "unknown"
 * where the system does not say. */
void fsname(const char *path, char ret_name[static FSNAME_BYTES]);

#endif
