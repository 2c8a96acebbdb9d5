/* SPDX-License-Identifier: Apache-2.0 */
/* Randomness as a parameter. The system source is libsodium's; a test passes a scripted one. Keys
 * of a real process come from the system source only. */
#ifndef DARKBLOOM_BASE_RAND_H
#define DARKBLOOM_BASE_RAND_H

#include <stddef.h>
#include <stdint.h>

struct rand_src {
    void (*fill)(void *ud, void *ret_bytes, size_t n);
    void *ud;
};

static inline void rand_fill(const struct rand_src *r, void *ret_bytes, size_t n)
{
    r->fill(r->ud, ret_bytes, n);
}

/* Cryptographic randomness of the system. Thread-safe. */
struct rand_src rand_system(void);

/* A number in [0, bound) for jitter and spreading, not for keys; 0 when bound is 0. */
uint32_t rand_below(const struct rand_src *r, uint32_t bound);

#define RAND_UUID_BYTES 37

/* A random UUID, version 4 (RFC 9562), lower case, NUL-terminated. */
void rand_uuid(const struct rand_src *r, char ret_text[static RAND_UUID_BYTES]);
/* A UUID of version 7 (RFC 9562 §5.7): begins with the wall clock's milliseconds, so that rows
 * keyed by it are inserted at an index's end (docs/decisions/003). */
void rand_uuid_ordered(const struct rand_src *r, int64_t wall_us,
                       char ret_text[static RAND_UUID_BYTES]);

#endif
