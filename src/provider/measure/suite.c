/* SPDX-License-Identifier: Apache-2.0 */
#include "provider/measure/suite.h"

#include <stdio.h>
#include <stdlib.h>

#include "seal/box.h"

enum {
    SHORT_WORDS = 16,
    DECODE_WORDS = 24,
    OVERHEAD_TOKENS = 64, /* of a prompt besides its words, at most */
    BESIDE_TOKENS = 1500,
    BESIDE_AFTER_PIECES = 8,
    SEALED_BYTES = 4096,
    SEALED_ROUNDS = 200
};

/* Of the engine beyond the loaded model, as for serving. */
#define SUITE_GROWTH_BYTES (INT64_C(2) << 30)

struct suite {
    const struct suite_config *config;
    struct model *model;
    struct measure measure;
    struct measure_row *rows;
    struct log log; /* config's, but where the engine is ended on purpose */
    struct clock clock;
    uint64_t seed; /* no two prompts are the same */
    bool loading;
};

static void suite_say(const struct suite *s, const char *what)
{
    if (s->config->progress)
        s->config->progress(s->config->ud, what);
}

/* --- the engine --- */

static void suite_on_events(void *ud)
{
    struct suite *s = ud;

    measure_on_events(&s->measure);
}

static void suite_on_changed(void *ud)
{
    struct suite *s = ud;
    enum model_state state = model_state(s->model);

    if (s->loading && (state == MODEL_READY || state == MODEL_DOWN))
        loop_stop(s->config->loop);
}

static int suite_load(struct suite *s, double *ret_load_s, struct err *ret_err)
{
    const struct provider_settings *set = s->config->settings;
    const struct model_config config = {
        .loop = s->config->loop,
        .rand = rand_system(),
        .log = &s->log,
        .process = s->config->process,
        .open = {.model_path = set->model_path,
                 .slots = (int32_t)set->slots,
                 .context_tokens = (int32_t)set->context_tokens,
                 .threads = (int32_t)set->threads,
                 .invariant = set->numerics == SETTINGS_NUMERICS_INVARIANT,
                 .max_waiting = MEASURE_ROWS_MAX,
                 .memory_growth_bytes = SUITE_GROWTH_BYTES},
        .restart_max_ms = MODEL_RESTART_MS,
        .events = suite_on_events,
        .changed = suite_on_changed,
        .ud = s};
    int64_t start_us = clock_mono_us(&s->clock);
    int rc = model_new(&config, &s->model);

    if (rc < 0)
        return err_set(ret_err, rc, "out of memory for the engine's supervisor");
    s->measure.port = model_port(s->model);
    s->loading = true;
    model_start(s->model);
    if (model_state(s->model) != MODEL_DOWN)
        rc = loop_run(s->config->loop);
    s->loading = false;
    if (rc == 0 && model_state(s->model) != MODEL_READY) {
        *ret_err = *model_error(s->model);
        return ret_err->code;
    }
    *ret_load_s = (double)(clock_mono_us(&s->clock) - start_us) / 1e6;
    return rc;
}

static int suite_run_rows(struct suite *s, int n)
{
    for (int i = 0; i < n; i++)
        s->rows[i].seed = ++s->seed;
    return measure_run(&s->measure, s->rows, n);
}

static int suite_one(struct suite *s, int64_t words, int64_t max_tokens)
{
    s->rows[0] = (struct measure_row){.words = words, .max_tokens = max_tokens};
    return suite_run_rows(s, 1);
}

/* --- first tokens --- */

/* The process that loaded it has to be gone before the next is started. */
static void suite_stop_loop(void *ud)
{
    loop_stop(ud);
}

static void suite_unload(struct suite *s)
{
    struct loop_timer pause = {0};

    s->log.fd = -1;
    s->config->process.kill(s->config->process.ud);
    loop_timer_set(s->config->loop, &pause, MODEL_RESTART_MS * INT64_C(500), suite_stop_loop,
                   s->config->loop);
    (void)loop_run(s->config->loop);
    loop_timer_clear(s->config->loop, &pause);
    model_free(s->model);
    s->model = NULL;
    s->log.fd = s->config->log->fd;
}

static int suite_cold(struct suite *s, struct suite_figures *f, struct err *ret_err)
{
    int rc = 0;

    for (int i = 0; rc == 0 && i < SUITE_COLD; i++) {
        if (s->model)
            suite_unload(s);
        rc = suite_load(s, &f->load_s[i], ret_err);
        if (rc == 0)
            rc = suite_one(s, SHORT_WORDS, 4);
        f->load_first_s[i] = f->load_s[i] + measure_first_s(&s->rows[0]);
    }
    if (rc == 0)
        f->facts = *model_facts(s->model);
    return rc;
}

static int suite_compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static int suite_warm(struct suite *s, struct suite_figures *f)
{
    double first_s[SUITE_WARM];
    int rc = 0;

    for (int i = 0; rc == 0 && i < SUITE_WARM; i++) {
        rc = suite_one(s, SHORT_WORDS, 4);
        first_s[i] = measure_first_s(&s->rows[0]);
    }
    if (rc < 0)
        return rc;
    qsort(first_s, SUITE_WARM, sizeof first_s[0], suite_compare);
    f->warm_first_s = first_s[SUITE_WARM / 2];
    return 0;
}

/* --- sealing --- */

struct suite_seal {
    struct box_pair *pair;
    struct box_slab *slab;
    struct box_session *near, *far;
    struct buf plain;
    char *sealed;
};

static int suite_seal_open(struct suite_seal *b)
{
    uint8_t key[BOX_KEY_BYTES];
    int rc = box_pair_new(&b->pair);

    buf_init(&b->plain, 1 << 16);
    b->sealed = malloc(box_sealed_len(SEALED_BYTES));
    if (rc == 0)
        rc = b->sealed ? box_slab_new(2, &b->slab) : ERR_NOMEM;
    if (rc == 0)
        rc = box_public_parse(str_from(box_pair_public_b64(b->pair)), key);
    if (rc == 0)
        rc = box_session_open(b->slab, key, &b->near);
    if (rc == 0)
        rc = box_public_parse(str_from(box_session_public_b64(b->near)), key);
    return rc == 0 ? box_session_accept(b->slab, b->pair, key, &b->far) : rc;
}

static void suite_seal_close(struct suite_seal *b)
{
    box_session_close(b->near);
    box_session_close(b->far);
    box_slab_free(b->slab);
    box_pair_free(b->pair);
    buf_free(&b->plain);
    free(b->sealed);
}

static int suite_seal_time(struct suite *s, struct suite_seal *b, struct suite_figures *f)
{
    static const char body[SEALED_BYTES];
    const struct str plain = {body, sizeof body}, sealed = {b->sealed, box_sealed_len(sizeof body)};
    int64_t start_us = clock_mono_us(&s->clock), sealed_us;
    int rc = 0;

    for (int i = 0; rc == 0 && i < SEALED_ROUNDS; i++)
        rc = box_seal(b->near, plain, b->sealed);
    sealed_us = clock_mono_us(&s->clock);
    for (int i = 0; rc == 0 && i < SEALED_ROUNDS; i++)
        rc = box_open(b->far, sealed, &b->plain);
    f->seal_us = (double)(sealed_us - start_us) / SEALED_ROUNDS;
    f->open_us = (double)(clock_mono_us(&s->clock) - sealed_us) / SEALED_ROUNDS;
    return rc;
}

static int suite_sealed(struct suite *s, struct suite_figures *f)
{
    struct suite_seal b = {0};
    int rc = suite_seal_open(&b);

    if (rc == 0)
        rc = suite_seal_time(s, &b, f);
    suite_seal_close(&b);
    if (rc == 0)
        rc = suite_one(s, SHORT_WORDS, 4);
    f->sealed_first_s = (f->seal_us + f->open_us) / 1e6 + measure_first_s(&s->rows[0]);
    return rc;
}

/* --- rates --- */

static int suite_decode_of(struct suite *s, int rows, struct suite_figures *f)
{
    struct suite_decode *d = &f->decode[f->n_decode];
    int rc;

    for (int i = 0; i < rows; i++)
        s->rows[i] =
            (struct measure_row){.words = DECODE_WORDS, .max_tokens = s->config->new_tokens};
    rc = suite_run_rows(s, rows);
    if (rc < 0)
        return rc;
    *d = (struct suite_decode){.rows = rows,
                               .steady = measure_steady(s->rows, rows),
                               .whole = measure_whole(s->rows, rows),
                               .first_least_s = measure_first_s(&s->rows[0])};
    for (int i = 0; i < rows; i++) {
        double first_s = measure_first_s(&s->rows[i]);

        d->first_least_s = first_s < d->first_least_s ? first_s : d->first_least_s;
        d->first_most_s = first_s > d->first_most_s ? first_s : d->first_most_s;
        if (s->rows[i].completion_tokens < f->shortest_tokens)
            f->shortest_tokens = s->rows[i].completion_tokens;
    }
    f->n_decode++;
    return 0;
}

static int suite_decode(struct suite *s, struct suite_figures *f)
{
    static const int rows[SUITE_DECODES] = {1, 2, 4, 8, 16};
    int rc = 0;

    f->new_tokens = f->shortest_tokens = s->config->new_tokens;
    for (int i = 0; rc == 0 && i < SUITE_DECODES && rows[i] <= f->facts.max_seqs; i++)
        rc = suite_decode_of(s, rows[i], f);
    return rc;
}

/* Words that make about so many tokens, by what a short prompt told. */
static int64_t suite_words_for(const struct suite *s, int64_t tokens)
{
    int64_t overhead = s->rows[0].prompt_tokens - s->rows[0].words;

    return tokens - (overhead > 0 && overhead < OVERHEAD_TOKENS ? overhead : 0);
}

static bool suite_fits(const struct suite_figures *f, int64_t tokens)
{
    return tokens + OVERHEAD_TOKENS <= f->facts.context_tokens;
}

static int suite_prefill(struct suite *s, struct suite_figures *f)
{
    static const int64_t sizes[SUITE_PREFILLS] = {128, 1024, 4096};
    int rc = 0;

    for (int i = 0; i < SUITE_PREFILLS && suite_fits(f, sizes[i]); i++) {
        struct suite_prefill *p = &f->prefill[f->n_prefill];

        rc = suite_one(s, SHORT_WORDS, 1);
        if (rc == 0)
            rc = suite_one(s, suite_words_for(s, sizes[i]), 1);
        if (rc < 0)
            return rc;
        p->prompt_tokens = s->rows[0].prompt_tokens;
        p->first_s = measure_first_s(&s->rows[0]);
        p->rate = (double)p->prompt_tokens / p->first_s;
        f->n_prefill++;
    }
    return 0;
}

static int suite_beside(struct suite *s, struct suite_figures *f)
{
    int64_t tokens = suite_fits(f, BESIDE_TOKENS) ? BESIDE_TOKENS : f->facts.context_tokens / 2;
    int rc;

    if (f->facts.max_seqs < 2)
        return 0;
    s->rows[0] = (struct measure_row){.words = DECODE_WORDS,
                                      .max_tokens =
                                          f->facts.context_tokens - DECODE_WORDS - OVERHEAD_TOKENS};
    s->rows[1] = (struct measure_row){
        .words = tokens - OVERHEAD_TOKENS, .max_tokens = 1, .after_pieces = BESIDE_AFTER_PIECES};
    rc = suite_run_rows(s, 2);
    if (rc < 0)
        return rc;
    f->beside_tokens = s->rows[1].prompt_tokens;
    f->beside_gap_s = measure_worst_gap_s(s->rows);
    f->beside_first_s = measure_first_s(&s->rows[1]);
    return 0;
}

/* --- all of it --- */

static int suite_all(struct suite *s, struct suite_figures *f, struct err *ret_err)
{
    int rc;

    suite_say(s, "loading, twice: cold first tokens");
    rc = suite_cold(s, f, ret_err);
    suite_say(s, "warm first tokens, sealing");
    if (rc == 0)
        rc = suite_warm(s, f);
    if (rc == 0)
        rc = suite_sealed(s, f);
    suite_say(s, "decode at 1, 2, 4, 8, 16 rows");
    if (rc == 0)
        rc = suite_decode(s, f);
    suite_say(s, "prefill");
    if (rc == 0)
        rc = suite_prefill(s, f);
    suite_say(s, "a prompt beside an answer");
    if (rc == 0)
        rc = suite_beside(s, f);
    return rc;
}

int suite_run(const struct suite_config *config, struct suite_figures *ret_figures,
              struct err *ret_err)
{
    struct suite s = {.config = config, .clock = loop_clock(config->loop)};
    struct suite_figures *f = calloc(1, sizeof *f);
    struct err e = {0};
    int rc;

    s.log = *config->log;
    s.measure.loop = config->loop;
    s.rows = calloc(MEASURE_ROWS_MAX, sizeof *s.rows);
    rc = f && s.rows ? suite_all(&s, f, &e) : ERR_NOMEM;
    if (rc == 0)
        *ret_figures = *f;
    else
        (void)err_set(ret_err, rc, "%s", e.text[0] ? e.text : err_str(rc));
    config->process.kill(config->process.ud);
    model_free(s.model);
    free(s.rows);
    free(f);
    return rc;
}
