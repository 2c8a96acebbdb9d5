/* SPDX-License-Identifier: Apache-2.0 */
/* Bounds of 64-bit counts. */
#ifndef DARKBLOOM_BASE_NUM_H
#define DARKBLOOM_BASE_NUM_H

#include <stdint.h>

static inline int64_t num_min(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* `v` within 0 … `max`: for counts that others report. */
static inline int64_t num_count(int64_t v, int64_t max)
{
    return v < 0 ? 0 : num_min(v, max);
}

#endif
