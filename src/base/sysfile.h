/* SPDX-License-Identifier: Apache-2.0 */
/* Small files that the kernel writes (/proc, /sys), read whole. Every path is taken below a root
 * ("" on a real machine), so that tests show a machine of their own. */
#ifndef DARKBLOOM_BASE_SYSFILE_H
#define DARKBLOOM_BASE_SYSFILE_H

#include "base/str.h"

/* Read at most `cap` bytes of <root><path> into `ret_bytes`. The text without white space at its
 * end, or .p NULL when the file cannot be read. */
struct str sysfile_read(const char *root, const char *path, char *ret_bytes, size_t cap);

/* As sysfile_read, every byte kept: for files that are not text. */
struct str sysfile_read_raw(const char *root, const char *path, char *ret_bytes, size_t cap);

/* The integer that is the whole file. 0, ERR_IO or ERR_PARSE. */
int sysfile_read_i64(const char *root, const char *path, int64_t *ret_value);

/* The value of the first line "key<white space>:<white space>value" (as in /proc/cpuinfo and
 * /proc/meminfo); .p NULL when there is none. */
struct str sysfile_field(struct str text, const char *key);

/* The leading decimal integer of a value such as "24684084 kB"; -1 when there is none. */
int64_t sysfile_leading_i64(struct str value);

#endif
