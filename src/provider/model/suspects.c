/* SPDX-License-Identifier: Apache-2.0 */
#include "provider/model/suspects.h"

#include <sodium.h>

void suspects_init(struct suspects *s, const struct rand_src *rand)
{
    *s = (struct suspects){0};
    rand_fill(rand, s->key, sizeof s->key);
}

void suspects_hash(const struct suspects *s, struct str prompt,
                   unsigned char ret_hash[static SUSPECT_HASH_BYTES])
{
    _Static_assert(crypto_auth_hmacsha256_BYTES == SUSPECT_HASH_BYTES, "the hash is whole");

    (void)crypto_auth_hmacsha256(ret_hash, (const unsigned char *)prompt.p, prompt.n, s->key);
}

static const struct suspect *suspects_find(const struct suspects *s, const unsigned char *hash)
{
    for (size_t i = 0; i < SUSPECTS_MAX; i++) {
        if (s->items[i].suspicion && memcmp(s->items[i].hash, hash, SUSPECT_HASH_BYTES) == 0)
            return &s->items[i];
    }
    return NULL;
}

enum suspicion suspects_of(const struct suspects *s,
                           const unsigned char hash[static SUSPECT_HASH_BYTES])
{
    const struct suspect *found = suspects_find(s, hash);

    return found ? found->suspicion : SUSPICION_NONE;
}

void suspects_set(struct suspects *s, const unsigned char hash[static SUSPECT_HASH_BYTES],
                  enum suspicion suspicion)
{
    struct suspect *place = (struct suspect *)suspects_find(s, hash);

    if (!place && suspicion == SUSPICION_NONE)
        return;
    if (!place) {
        place = &s->items[s->next];
        s->next = (s->next + 1) % SUSPECTS_MAX;
        *place = (struct suspect){0};
    }
    memcpy(place->hash, hash, sizeof place->hash);
    if (place->suspicion != SUSPICION_REFUSED)
        place->suspicion = suspicion;
}
