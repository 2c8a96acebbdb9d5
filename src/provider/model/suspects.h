/* SPDX-License-Identifier: Apache-2.0 */
/* Prompts that may have ended the engine, or are known to have. They are known by a keyed hash
 * (HMAC-SHA-256 under a random key of this process), so that nothing of them is kept. The newest
 * SUSPECTS_MAX are remembered, until the process ends. */
#ifndef DARKBLOOM_PROVIDER_MODEL_SUSPECTS_H
#define DARKBLOOM_PROVIDER_MODEL_SUSPECTS_H

#include <stdbool.h>

#include "base/rand.h"
#include "base/str.h"

enum { SUSPECTS_MAX = 256, SUSPECT_HASH_BYTES = 32 };

enum suspicion {
    SUSPICION_NONE,
    SUSPICION_ALONE,  /* was there when the engine ended: is run alone until it shows text */
    SUSPICION_REFUSED /* nothing else can have ended it: is not run again */
};

struct suspect {
    unsigned char hash[SUSPECT_HASH_BYTES];
    enum suspicion suspicion;
};

struct suspects {
    unsigned char key[SUSPECT_HASH_BYTES];
    struct suspect items[SUSPECTS_MAX];
    size_t next; /* the place that is written next */
};

void suspects_init(struct suspects *s, const struct rand_src *rand);
void suspects_hash(const struct suspects *s, struct str prompt,
                   unsigned char ret_hash[static SUSPECT_HASH_BYTES]);
enum suspicion suspects_of(const struct suspects *s,
                           const unsigned char hash[static SUSPECT_HASH_BYTES]);
/* What is known of it from now on. One that is refused stays so. */
void suspects_set(struct suspects *s, const unsigned char hash[static SUSPECT_HASH_BYTES],
                  enum suspicion suspicion);

#endif
