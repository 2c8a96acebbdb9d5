/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/registry/tally.h"

#include <math.h>

double tally_decayed(double value, int64_t us, int64_t half_life_us)
{
    return us > 0 ? value * exp2(-(double)us / (double)half_life_us) : value;
}

void tally_age(struct tally *t, int64_t now_us, int64_t half_life_us)
{
    if (now_us <= t->at_us)
        return;
    t->served = tally_decayed(t->served, now_us - t->at_us, half_life_us);
    t->failed = tally_decayed(t->failed, now_us - t->at_us, half_life_us);
    t->at_us = now_us;
}

double tally_failed_share(const struct tally *t, double prior_served)
{
    double all = t->served + t->failed + prior_served;

    return all > 0 ? t->failed / all : 0;
}
