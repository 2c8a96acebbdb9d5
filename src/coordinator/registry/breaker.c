/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/registry/breaker.h"

#include "base/check.h"
#include "base/num.h"

enum {
    WINDOW_FIRST = 6,       /* of a key that has shown nothing yet */
    WINDOW_AFTER_PROBE = 2, /* the probe was served */
    FAILED_IN_ROW = 3,
    SERVED_IN_ROW = 8, /* forgives the openings before */
    FAILED_LATELY = 4
};
static const double failed_share = 0.25;
#define RECENT_HALF_LIFE_US INT64_C(120000000)

void breaker_init(struct breaker *b, int64_t now_us)
{
    *b = (struct breaker){.recent = {.at_us = now_us}, .window = WINDOW_FIRST};
}

void breaker_age(struct breaker *b, int64_t now_us)
{
    tally_age(&b->recent, now_us, RECENT_HALF_LIFE_US);
}

enum breaker_state breaker_state(const struct breaker *b, int64_t now_us)
{
    if (!b->open)
        return BREAKER_CLOSED;
    return now_us < b->open_until_us ? BREAKER_OPEN : BREAKER_HALF_OPEN;
}

int64_t breaker_limit(const struct breaker *b, int64_t now_us, int64_t running)
{
    int64_t window = b->window;

    switch (breaker_state(b, now_us)) {
    case BREAKER_OPEN:
        return 0;
    case BREAKER_HALF_OPEN:
        return b->probing ? 0 : running + 1;
    case BREAKER_CLOSED:
        break;
    }
    if (window < BREAKER_WINDOW_MAX)
        window -= b->failed_in_row;
    return window > 1 ? window : 1;
}

bool breaker_started(struct breaker *b, int64_t now_us)
{
    if (breaker_state(b, now_us) != BREAKER_HALF_OPEN || b->probing)
        return false;
    b->probing = true;
    return true;
}

void breaker_content(struct breaker *b)
{
    b->window = (int)num_min(2 * (int64_t)b->window, BREAKER_WINDOW_MAX);
}

static int64_t breaker_backoff_us(int level)
{
    int64_t us = BREAKER_BACKOFF_FIRST_US;

    for (int i = 1; i < level && us < BREAKER_BACKOFF_MAX_US; i++)
        us *= 2;
    return num_min(us, BREAKER_BACKOFF_MAX_US);
}

static void breaker_open(struct breaker *b, int64_t now_us)
{
    if (b->level < BREAKER_COUNT_MAX)
        b->level++;
    b->open = true;
    b->probing = false;
    b->open_until_us = now_us + breaker_backoff_us(b->level);
    b->failed_in_row = b->served_in_row = 0;
    b->recent.served = b->recent.failed = 0;
}

static void breaker_count(struct breaker *b, int64_t now_us, bool served)
{
    uint8_t *row = served ? &b->served_in_row : &b->failed_in_row;

    /* Closed for so long that a failure now has nothing to do with those before. */
    if (!b->open && b->level > 0 && now_us - b->open_until_us >= BREAKER_BACKOFF_MAX_US)
        b->level = 0;
    breaker_age(b, now_us);
    *(served ? &b->recent.served : &b->recent.failed) += 1;
    if (*row < BREAKER_COUNT_MAX)
        (*row)++;
    *(served ? &b->failed_in_row : &b->served_in_row) = 0;
}

bool breaker_served(struct breaker *b, int64_t now_us, bool probe)
{
    bool closes = b->open && probe;

    CHECK(!probe || b->probing);
    if (b->open && !probe) /* begun before it opened: no word about today */
        return false;
    if (closes) {
        b->open = b->probing = false;
        b->window = WINDOW_AFTER_PROBE;
    }
    breaker_count(b, now_us, true);
    if (b->served_in_row >= SERVED_IN_ROW)
        b->level = 0;
    return closes;
}

static bool breaker_trips(const struct breaker *b)
{
    if (b->failed_in_row >= (b->level > 0 ? 1 : FAILED_IN_ROW))
        return true;
    return b->recent.failed >= FAILED_LATELY && tally_failed_share(&b->recent, 0) >= failed_share;
}

bool breaker_failed(struct breaker *b, int64_t now_us, bool probe)
{
    CHECK(!probe || b->probing);
    if (b->open && !probe) /* the opening has counted for all that ran then */
        return false;
    if (!probe)
        breaker_count(b, now_us, false);
    if (!probe && !breaker_trips(b))
        return false;
    breaker_open(b, now_us);
    return true;
}

bool breaker_spared(struct breaker *b, int64_t now_us, bool probe)
{
    (void)now_us;
    CHECK(!probe || b->probing);
    if (!probe)
        return false;
    b->probing = false;
    return true;
}
