/* SPDX-License-Identifier: Apache-2.0 */
/* Reading what valgrind's callgrind wrote (its file format 1, without --dump-instr). */
#ifndef DARKBLOOM_BENCH_CALLGRIND_H
#define DARKBLOOM_BENCH_CALLGRIND_H

#include <stdint.h>

/* Instructions by where their code lies. */
enum callgrind_part {
    CALLGRIND_OURS, /* the program itself; all rooms are linked into it */
    CALLGRIND_SQLITE,
    CALLGRIND_CRYPTO, /* libsodium, libcrypto */
    CALLGRIND_OTHER,
    CALLGRIND_PARTS
};

struct callgrind_counts {
    int64_t part[CALLGRIND_PARTS];
};

int64_t callgrind_total(const struct callgrind_counts *c);

/* `program`: the path of the program that was run. ERR_IO without the file, ERR_PARSE where it
 * counts nothing. */
int callgrind_read(const char *path, const char *program, struct callgrind_counts *ret_counts);

#endif
