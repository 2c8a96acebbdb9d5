/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

#include <stdio.h>
#include <time.h>

static int64_t clock_read_us(clockid_t id)
{
    struct timespec ts;

    clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static int64_t clock_system_mono_us(void *ud)
{
    (void)ud;
    return clock_read_us(CLOCK_MONOTONIC);
}

static int64_t clock_system_wall_us(void *ud)
{
    (void)ud;
    return clock_read_us(CLOCK_REALTIME);
}

struct clock clock_system(void)
{
    return (struct clock){clock_system_mono_us, clock_system_wall_us, NULL};
}

void clock_rfc3339(int64_t wall_us, char ret_text[static CLOCK_RFC3339_BYTES])
{
    time_t seconds = (time_t)(wall_us / 1000000);
    struct tm tm;

    gmtime_r(&seconds, &tm);
    strftime(ret_text, CLOCK_RFC3339_BYTES, "%Y-%m-%dT%H:%M:%SZ", &tm);
}
