/* SPDX-License-Identifier: Apache-2.0 */
/* The SHA-256 of a file. */
#ifndef DARKBLOOM_PROVIDER_FILE_HASH_H
#define DARKBLOOM_PROVIDER_FILE_HASH_H

#include "base/err.h"

enum { FILE_HASH_BYTES = 65 };

/* In lower-case hex. `what` names the file in messages ("the model"). 0 or ERR_IO. */
int file_hash(const char *path, const char *what, char ret_hex[static FILE_HASH_BYTES],
              struct err *ret_err);

/* The same of an open file, from its first byte; its offset stays. `path` is for errors. */
int file_hash_fd(int fd, const char *path, const char *what, char ret_hex[static FILE_HASH_BYTES],
                 struct err *ret_err);

#endif
