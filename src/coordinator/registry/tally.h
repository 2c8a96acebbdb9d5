/* SPDX-License-Identifier: Apache-2.0 */
/* How many answers were served and how many failed, where what is old counts less: both numbers
 * halve with every `half_life_us`. Times are one monotonic clock's, given by the caller. */
#ifndef DARKBLOOM_COORDINATOR_REGISTRY_TALLY_H
#define DARKBLOOM_COORDINATOR_REGISTRY_TALLY_H

#include <stdint.h>

struct tally {
    double served, failed; /* as of at_us */
    int64_t at_us;
};

/* Let time go by; a clock that stands or goes back changes nothing. */
void tally_age(struct tally *t, int64_t now_us, int64_t half_life_us);
/* The number that is left of `value` after `us`. */
double tally_decayed(double value, int64_t us, int64_t half_life_us);
/* Failed of all, 0..1, as if `prior_served` more had been served. */
double tally_failed_share(const struct tally *t, double prior_served);

#endif
