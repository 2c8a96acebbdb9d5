/* SPDX-License-Identifier: Apache-2.0 */
/* Time as a parameter. Modules take a struct clock, so that tests run in virtual time. */
#ifndef DARKBLOOM_BASE_CLOCK_H
#define DARKBLOOM_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

struct clock {
    int64_t (*mono_us)(void *ud); /* monotonic, any origin: durations and deadlines */
    int64_t (*wall_us)(void *ud); /* microseconds since 1970-01-01 UTC: what is stored or shown */
    void *ud;
};

static inline int64_t clock_mono_us(const struct clock *c)
{
    return c->mono_us(c->ud);
}

static inline int64_t clock_wall_us(const struct clock *c)
{
    return c->wall_us(c->ud);
}

/* The machine's clocks. Thread-safe. */
struct clock clock_system(void);

#define CLOCK_RFC3339_BYTES 21 /* "2026-11-23T20:51:07Z" and NUL */

/* RFC 3339, UTC, whole seconds, trailing Z. */
void clock_rfc3339(int64_t wall_us, char ret_text[static CLOCK_RFC3339_BYTES]);

#endif
