/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/registry/record_saved.h"

#include "base/num.h"

#define TALLY_MAX  1e9
#define RATE_MAX   1e10
#define AGE_MAX_US (INT64_C(3650) * 86400 * 1000000) /* what is older counts as so old */

struct saved_model {
    struct str id;
    double decode, decode_weight, prefill, prefill_weight, total, total_weight, ttft, ttft_weight;
};

struct saved {
    int64_t at_us; /* wall */
    bool open;
    int64_t open_until_us; /* wall */
    int64_t level, window, failed_in_row, served_in_row;
    double recent_served, recent_failed, served, failed;
    struct saved_model *models;
    size_t n_models;
};

#define FIELD(self, kind, member, flag)                                   \
    {                                                                     \
        .name = #member, .type = SHAPE_##kind, .flags = (flag),           \
        .offset = offsetof(struct self, member), .other_offset = SIZE_MAX \
    }
#define OPT SHAPE_OMIT_EMPTY

static const struct shape *saved_model_shape(void)
{
    static const struct shape_field fields[] = {
        FIELD(saved_model, STR, id, SHAPE_REQUIRED),  FIELD(saved_model, F64, decode, OPT),
        FIELD(saved_model, F64, decode_weight, OPT),  FIELD(saved_model, F64, prefill, OPT),
        FIELD(saved_model, F64, prefill_weight, OPT), FIELD(saved_model, F64, total, OPT),
        FIELD(saved_model, F64, total_weight, OPT),   FIELD(saved_model, F64, ttft, OPT),
        FIELD(saved_model, F64, ttft_weight, OPT),    {.name = NULL}};
    static const struct shape shape = {"model", fields, sizeof(struct saved_model)};

    return &shape;
}

static const struct shape_field saved_fields[] = {
    FIELD(saved, I64, at_us, SHAPE_REQUIRED),
    FIELD(saved, BOOL, open, OPT),
    FIELD(saved, I64, open_until_us, OPT),
    FIELD(saved, I64, level, OPT),
    FIELD(saved, I64, window, OPT),
    FIELD(saved, I64, failed_in_row, OPT),
    FIELD(saved, I64, served_in_row, OPT),
    FIELD(saved, F64, recent_served, OPT),
    FIELD(saved, F64, recent_failed, OPT),
    FIELD(saved, F64, served, OPT),
    FIELD(saved, F64, failed, OPT),
    {.name = "models",
     .type = SHAPE_OBJS,
     .flags = OPT,
     .offset = offsetof(struct saved, models),
     .other_offset = offsetof(struct saved, n_models),
     .sub = saved_model_shape},
    {.name = NULL},
};

static const struct shape saved_shape = {"provider record", saved_fields, sizeof(struct saved)};

/* --- writing --- */

static void saved_from_model(struct saved_model *s, const struct record_model *m, int64_t now_us)
{
    struct rates r = m->rates;

    rates_age(&r, now_us);
    *s = (struct saved_model){.id = str_from(m->id),
                              .decode = r.decode_tps.mean,
                              .decode_weight = r.decode_tps.weight,
                              .prefill = r.prefill_tps.mean,
                              .prefill_weight = r.prefill_tps.weight,
                              .total = r.total_tps.mean,
                              .total_weight = r.total_tps.weight,
                              .ttft = r.ttft_us.mean,
                              .ttft_weight = r.ttft_us.weight};
}

int record_write(const struct record *r, const struct clock *clock, struct buf *out)
{
    int64_t now = clock_mono_us(clock), wall = clock_wall_us(clock);
    struct saved_model models[RECORD_MODELS_MAX];
    struct breaker b = r->breaker;
    struct tally reputation = r->reputation;
    struct saved s;
    size_t n = 0;

    breaker_age(&b, now);
    tally_age(&reputation, now, RECORD_HALF_LIFE_US);
    for (const struct record_model *m = r->models; m && n < RECORD_MODELS_MAX; m = m->next)
        saved_from_model(&models[n++], m, now);
    s = (struct saved){.at_us = wall,
                       .open = b.open,
                       .open_until_us = b.level > 0 ? wall + (b.open_until_us - now) : 0,
                       .level = b.level,
                       .window = b.window,
                       .failed_in_row = b.failed_in_row,
                       .served_in_row = b.served_in_row,
                       .recent_served = b.recent.served,
                       .recent_failed = b.recent.failed,
                       .served = reputation.served,
                       .failed = reputation.failed,
                       .models = models,
                       .n_models = n};
    return shape_encode(&saved_shape, &s, out);
}

/* --- reading --- */

static double saved_number(double v, double max)
{
    return !(v > 0) ? 0 : v > max ? max : v;
}

static struct rate saved_rate(double mean, double weight)
{
    return (struct rate){saved_number(mean, RATE_MAX), saved_number(weight, RATES_WEIGHT_MAX)};
}

/* `wall_us` on the monotonic clock, no further from now than `max_us`. */
static int64_t saved_time(int64_t wall_us, const struct clock *clock, int64_t max_us)
{
    int64_t now = clock_wall_us(clock);
    int64_t ago = now - num_count(wall_us, now + max_us);

    return clock_mono_us(clock) - num_min(ago, AGE_MAX_US);
}

static void saved_to_breaker(struct breaker *b, const struct saved *s, const struct clock *clock)
{
    b->level = (uint8_t)num_count(s->level, BREAKER_COUNT_MAX);
    b->failed_in_row = (uint8_t)num_count(s->failed_in_row, BREAKER_COUNT_MAX);
    b->served_in_row = (uint8_t)num_count(s->served_in_row, BREAKER_COUNT_MAX);
    b->open = s->open && b->level > 0;
    b->open_until_us = saved_time(s->open_until_us, clock, BREAKER_BACKOFF_MAX_US);
    if (s->window > 0)
        b->window = (int)num_min(s->window, BREAKER_WINDOW_MAX);
    b->recent = (struct tally){.served = saved_number(s->recent_served, TALLY_MAX),
                               .failed = saved_number(s->recent_failed, TALLY_MAX),
                               .at_us = saved_time(s->at_us, clock, 0)};
}

/* A model too many is left out. */
static void saved_to_models(struct record *r, const struct saved *s, int64_t at_us)
{
    for (size_t i = 0; i < s->n_models; i++) {
        const struct saved_model *m = &s->models[i];
        struct rates *rates = record_rates_make(r, m->id);

        if (!rates)
            return;
        *rates = (struct rates){.decode_tps = saved_rate(m->decode, m->decode_weight),
                                .prefill_tps = saved_rate(m->prefill, m->prefill_weight),
                                .total_tps = saved_rate(m->total, m->total_weight),
                                .ttft_us = saved_rate(m->ttft, m->ttft_weight),
                                .at_us = at_us};
    }
}

int record_read(struct record *r, const struct clock *clock, struct proto_scratch *scratch,
                struct str text)
{
    struct saved s;
    int rc = shape_decode(scratch, &saved_shape, text, &s, NULL);

    if (rc < 0)
        return rc;
    saved_to_breaker(&r->breaker, &s, clock);
    r->reputation = (struct tally){.served = saved_number(s.served, TALLY_MAX),
                                   .failed = saved_number(s.failed, TALLY_MAX),
                                   .at_us = saved_time(s.at_us, clock, 0)};
    saved_to_models(r, &s, saved_time(s.at_us, clock, 0));
    return 0;
}
