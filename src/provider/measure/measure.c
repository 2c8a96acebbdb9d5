/* SPDX-License-Identifier: Apache-2.0 */
#include "provider/measure/measure.h"

enum { BODY_MAX_BYTES = 1 << 20, REGION_BYTES = 1 << 20, PATIENCE_US = 600000000 };

/* One token each, or nearly, in the vocabularies that there are. */
static const char *const measure_words[] = {
    "about",  "water",  "light",  "stone",  "green",  "river",  "small",  "great",
    "under",  "world",  "night",  "paper",  "table",  "music",  "heart",  "story",
    "north",  "south",  "glass",  "metal",  "bread",  "horse",  "plant",  "earth",
    "cloud",  "storm",  "ocean",  "field",  "train",  "plane",  "bridge", "garden",
    "winter", "summer", "spring", "silver", "golden", "yellow", "purple", "orange",
};

/* SplitMix64 (Steele, Lea, Flood 2014). */
static uint64_t measure_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9E3779B97F4A7C15ULL);

    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31);
}

/* An answer to this is long, also a small model's. */
static int measure_body(const struct measure_row *row, struct buf *out)
{
    const size_t n_words = sizeof measure_words / sizeof measure_words[0];
    uint64_t state = row->seed;
    int rc = buf_printf(out,
                        "{\"model\":\"m\",\"stream\":true,\"temperature\":0,\"max_tokens\":%lld,"
                        "\"messages\":[{\"role\":\"user\",\"content\":\"Repeat these words again "
                        "and again, a hundred times, without an end:",
                        (long long)row->max_tokens);

    for (int64_t i = 0; rc == 0 && i < row->words; i++)
        rc = buf_printf(out, " %s", measure_words[measure_random(&state) % n_words]);
    return rc == 0 ? buf_append_str(out, STR("\"}]}")) : rc;
}

/* --- running --- */

static int measure_submit_body(struct measure *m, int i, struct str body)
{
    struct chat_request chat;
    struct api_error refused;
    struct arena region;
    int rc;

    arena_init(&region, REGION_BYTES);
    rc = chat_request_parse(body, &region, &chat, &refused);
    if (rc == 0)
        rc = m->port.submit(m->port.ud, m->tag + (uint64_t)i, &chat);
    arena_free(&region);
    return rc;
}

static void measure_submit(struct measure *m, int i)
{
    struct measure_row *row = &m->rows[i];
    struct clock clock = loop_clock(m->loop);
    struct buf body;

    buf_init(&body, BODY_MAX_BYTES);
    row->submitted = true;
    row->code = measure_body(row, &body);
    row->submitted_us = clock_mono_us(&clock);
    if (row->code == 0)
        row->code = measure_submit_body(m, i, buf_view(&body));
    row->ended = row->code < 0;
    row->ended_us = row->ended ? row->submitted_us : 0;
    buf_free(&body);
}

static bool measure_over(const struct measure *m)
{
    for (int i = 0; i < m->n; i++) {
        if (!m->rows[i].ended)
            return false;
    }
    return true;
}

static void measure_submit_due(struct measure *m)
{
    for (int i = 0; i < m->n; i++) {
        const struct measure_row *row = &m->rows[i];

        if (!row->submitted && (row->after_pieces <= m->rows[0].n_pieces || m->rows[0].ended))
            measure_submit(m, i);
    }
}

static void measure_take(struct measure *m, const struct engine_event *e, int64_t now_us)
{
    struct measure_row *row;

    if (e->tag < m->tag || e->tag >= m->tag + (uint64_t)m->n)
        return; /* of an earlier run */
    row = &m->rows[e->tag - m->tag];
    if (e->kind == ENGINE_ADMITTED)
        row->prompt_tokens = e->prompt_tokens;
    if (e->kind == ENGINE_TEXT && row->n_pieces++ < MEASURE_PIECES_MAX)
        row->pieces_us[row->n_pieces - 1] = now_us;
    if (e->kind == ENGINE_DONE)
        row->completion_tokens = e->completion_tokens;
    if (e->kind == ENGINE_FAILED)
        row->code = e->code;
    if (e->kind == ENGINE_DONE || e->kind == ENGINE_FAILED) {
        row->ended = true;
        row->ended_us = now_us;
    }
}

void measure_on_events(struct measure *m)
{
    struct clock clock = loop_clock(m->loop);
    struct engine_event e;

    while (m->port.poll(m->port.ud, &e) == 1)
        measure_take(m, &e, clock_mono_us(&clock));
    if (m->n == 0)
        return;
    measure_submit_due(m);
    if (measure_over(m))
        loop_stop(m->loop);
}

static void measure_give_up(void *ud)
{
    struct measure *m = ud;

    for (int i = 0; i < m->n; i++) {
        if (m->rows[i].ended)
            continue;
        if (m->rows[i].submitted)
            m->port.cancel(m->port.ud, m->tag + (uint64_t)i);
        m->rows[i].ended = true;
        m->rows[i].code = ERR_TIMEOUT;
    }
    loop_stop(m->loop);
}

int measure_run(struct measure *m, struct measure_row *rows, int n)
{
    struct loop_timer patience = {0};
    int rc = 0;

    m->tag += MEASURE_ROWS_MAX;
    m->rows = rows;
    m->n = n;
    measure_submit_due(m);
    loop_timer_set(m->loop, &patience, PATIENCE_US, measure_give_up, m);
    if (!measure_over(m))
        rc = loop_run(m->loop);
    loop_timer_clear(m->loop, &patience);
    m->n = 0;
    for (int i = 0; rc == 0 && i < n; i++)
        rc = rows[i].code;
    return rc;
}

/* --- figures --- */

static int64_t measure_kept(const struct measure_row *row)
{
    return row->n_pieces < MEASURE_PIECES_MAX ? row->n_pieces : MEASURE_PIECES_MAX;
}

static int64_t measure_first_us(const struct measure_row *row)
{
    return row->n_pieces ? row->pieces_us[0] : row->ended_us;
}

static int64_t measure_last_us(const struct measure_row *row)
{
    return row->n_pieces ? row->pieces_us[measure_kept(row) - 1] : row->ended_us;
}

double measure_first_s(const struct measure_row *row)
{
    return (double)(measure_first_us(row) - row->submitted_us) / 1e6;
}

/* A text may stand for several tokens: each counts as its answer's mean. */
static double measure_tokens_in(const struct measure_row *row, int64_t from_us, int64_t to_us)
{
    int64_t n = 0;

    for (int64_t i = 0; i < measure_kept(row); i++)
        n += row->pieces_us[i] > from_us && row->pieces_us[i] <= to_us;
    return n ? (double)n * (double)row->completion_tokens / (double)row->n_pieces : 0;
}

double measure_steady(const struct measure_row *rows, int n)
{
    int64_t from_us = INT64_MIN, to_us = INT64_MAX;
    double tokens = 0;

    for (int i = 0; i < n; i++) {
        from_us = measure_first_us(&rows[i]) > from_us ? measure_first_us(&rows[i]) : from_us;
        to_us = measure_last_us(&rows[i]) < to_us ? measure_last_us(&rows[i]) : to_us;
    }
    for (int i = 0; i < n; i++)
        tokens += measure_tokens_in(&rows[i], from_us, to_us);
    return to_us > from_us ? tokens * 1e6 / (double)(to_us - from_us) : 0;
}

double measure_whole(const struct measure_row *rows, int n)
{
    int64_t from_us = INT64_MAX, to_us = INT64_MIN;
    double tokens = 0;

    for (int i = 0; i < n; i++) {
        from_us = rows[i].submitted_us < from_us ? rows[i].submitted_us : from_us;
        to_us = measure_last_us(&rows[i]) > to_us ? measure_last_us(&rows[i]) : to_us;
        tokens += (double)rows[i].completion_tokens;
    }
    return to_us > from_us ? tokens * 1e6 / (double)(to_us - from_us) : 0;
}

double measure_worst_gap_s(const struct measure_row *rows)
{
    const struct measure_row *answer = &rows[0];
    int64_t from_us = rows[1].submitted_us, to_us = measure_first_us(&rows[1]), worst = 0;

    for (int64_t i = 1; i < measure_kept(answer) && answer->pieces_us[i - 1] < to_us; i++) {
        int64_t at = answer->pieces_us[i] < to_us ? answer->pieces_us[i] : to_us;

        if (at > from_us && at - answer->pieces_us[i - 1] > worst)
            worst = at - answer->pieces_us[i - 1];
    }
    return (double)worst / 1e6;
}
