/* SPDX-License-Identifier: Apache-2.0 */
/* The times of a scripted engine's texts, and the figures that they give. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>

#include "net/loop_fake.h"
#include "provider/measure/measure.h"

enum { MS = 1000, EVENTS_MAX = 256 };

/* An event so many virtual milliseconds after the first submission; its tag is the row's number. */
struct line {
    int64_t at_ms;
    int row;
    enum engine_event_kind kind;
    int64_t n; /* ADMITTED: prompt tokens; DONE: completion tokens; FAILED: the code */
};

struct world {
    struct loop *loop;
    struct measure measure;
    struct measure_row *rows;
    const struct line *script;
    int n_lines, next, polled;
    struct loop_timer timer;
    uint64_t tags[MEASURE_ROWS_MAX];
    int n_submitted, refuse;
    int64_t prompt_bytes[MEASURE_ROWS_MAX];
};

static void play(void *ud);

static void play_next(struct world *w, int64_t from_ms)
{
    if (w->next < w->n_lines)
        loop_timer_set(w->loop, &w->timer, (w->script[w->next].at_ms - from_ms) * MS, play, w);
}

static void play(void *ud)
{
    struct world *w = ud;
    int64_t at_ms = w->script[w->next].at_ms;

    while (w->next < w->n_lines && w->script[w->next].at_ms == at_ms)
        w->next++;
    play_next(w, at_ms);
    measure_on_events(&w->measure);
}

static int submit(void *ud, uint64_t tag, const struct chat_request *chat)
{
    struct world *w = ud;

    if (w->refuse)
        return w->refuse;
    assert_true(chat->temperature == 0);
    if (w->n_submitted == 0)
        play_next(w, 0);
    w->prompt_bytes[w->n_submitted] = (int64_t)chat->prompt_bytes;
    w->tags[w->n_submitted++] = tag;
    return 0;
}

static void cancel(void *ud, uint64_t tag)
{
    (void)ud, (void)tag;
}

static int poll_event(void *ud, struct engine_event *ret_event)
{
    struct world *w = ud;
    const struct line *line = &w->script[w->polled];

    if (w->polled == w->next)
        return 0;
    w->polled++;
    *ret_event = (struct engine_event){.kind = line->kind,
                                       .tag = w->tags[line->row],
                                       .prompt_tokens = line->n,
                                       .completion_tokens = line->n,
                                       .code = (int)line->n};
    return 1;
}

static int set_up(void **state)
{
    struct world *w = calloc(1, sizeof *w);

    w->rows = calloc(MEASURE_ROWS_MAX, sizeof *w->rows);
    assert_int_equal(loop_fake_new(0, &w->loop), 0);
    w->measure = (struct measure){
        .loop = w->loop, .port = {.submit = submit, .cancel = cancel, .poll = poll_event, .ud = w}};
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;

    loop_free(w->loop);
    free(w->rows);
    free(w);
    return 0;
}

static int run(struct world *w, const struct line *script, int n_lines, int rows)
{
    w->script = script;
    w->n_lines = n_lines;
    for (int i = 0; i < rows; i++) {
        w->rows[i].words = 10 * (i + 1);
        w->rows[i].max_tokens = 4;
    }
    return measure_run(&w->measure, w->rows, rows);
}

#define RUN(w, script, rows) run(w, script, (int)(sizeof(script) / sizeof((script)[0])), rows)

static void the_first_token_counts_from_submission(void **state)
{
    static const struct line script[] = {
        {30, 0, ENGINE_ADMITTED, 42}, {70, 0, ENGINE_TEXT, 0}, {80, 0, ENGINE_DONE, 1}};
    struct world *w = *state;

    assert_int_equal(RUN(w, script, 1), 0);
    assert_true(measure_first_s(&w->rows[0]) == 0.07);
    assert_int_equal(w->rows[0].prompt_tokens, 42);
    assert_int_equal(w->rows[0].completion_tokens, 1);
}

static void an_answer_of_no_text_counts_by_its_end(void **state)
{
    static const struct line script[] = {{70, 0, ENGINE_ADMITTED, 9}, {90, 0, ENGINE_DONE, 0}};
    struct world *w = *state;

    assert_int_equal(RUN(w, script, 1), 0);
    assert_true(measure_first_s(&w->rows[0]) == 0.09);
}

/* Row 1 begins at 100 ms, row 0 ends at 400: in between each has three texts of two tokens. */
static void steady_is_while_all_run_and_texts_count_as_their_tokens(void **state)
{
    static const struct line script[] = {
        {50, 0, ENGINE_TEXT, 0},  {100, 1, ENGINE_TEXT, 0}, {200, 0, ENGINE_TEXT, 0},
        {200, 1, ENGINE_TEXT, 0}, {300, 0, ENGINE_TEXT, 0}, {300, 1, ENGINE_TEXT, 0},
        {400, 0, ENGINE_TEXT, 0}, {400, 1, ENGINE_TEXT, 0}, {400, 0, ENGINE_DONE, 8},
        {900, 1, ENGINE_TEXT, 0}, {900, 1, ENGINE_DONE, 10}};
    struct world *w = *state;

    assert_int_equal(RUN(w, script, 2), 0);
    assert_int_equal((int)(measure_steady(w->rows, 2) + 0.5), 40);
    assert_int_equal((int)(measure_whole(w->rows, 2) + 0.5), 20);
}

static void rows_that_do_not_meet_have_no_steady_rate(void **state)
{
    static const struct line script[] = {{10, 0, ENGINE_TEXT, 0},
                                         {20, 0, ENGINE_DONE, 1},
                                         {30, 1, ENGINE_TEXT, 0},
                                         {40, 1, ENGINE_DONE, 1}};
    struct world *w = *state;

    assert_int_equal(RUN(w, script, 2), 0);
    assert_true(measure_steady(w->rows, 2) == 0);
}

/* The gap of 300 ms was over before the prompt came; the open one at its first text is 150. */
static void the_gap_is_of_the_time_in_which_the_prompt_comes(void **state)
{
    static const struct line script[] = {{10, 0, ENGINE_TEXT, 0},  {310, 0, ENGINE_TEXT, 0},
                                         {400, 0, ENGINE_TEXT, 0}, {500, 0, ENGINE_TEXT, 0},
                                         {650, 1, ENGINE_TEXT, 0}, {660, 1, ENGINE_DONE, 1},
                                         {990, 0, ENGINE_TEXT, 0}, {999, 0, ENGINE_DONE, 5}};
    struct world *w = *state;

    w->rows[1].after_pieces = 2;
    assert_int_equal(RUN(w, script, 2), 0);
    assert_int_equal(w->rows[1].submitted_us - w->rows[0].submitted_us, 310 * MS);
    assert_true(measure_worst_gap_s(w->rows) == 0.15);
}

static void more_words_make_a_longer_prompt(void **state)
{
    static const struct line script[] = {{10, 0, ENGINE_DONE, 0}, {10, 1, ENGINE_DONE, 0}};
    struct world *w = *state;

    assert_int_equal(RUN(w, script, 2), 0);
    assert_true(w->prompt_bytes[1] > w->prompt_bytes[0] + 30);
}

static void a_failure_or_a_refusal_is_the_runs(void **state)
{
    static const struct line script[] = {{10, 0, ENGINE_FAILED, ERR_MODEL}};
    struct world *w = *state;

    assert_int_equal(RUN(w, script, 1), ERR_MODEL);
    w->refuse = ERR_BUSY;
    w->rows[0] = (struct measure_row){.words = 1};
    assert_int_equal(run(w, script, 0, 1), ERR_BUSY);
}

static void a_silent_engine_is_given_up_after_ten_minutes(void **state)
{
    static const struct line script[] = {{1, 0, ENGINE_ADMITTED, 1}};
    struct world *w = *state;

    assert_int_equal(RUN(w, script, 1), ERR_TIMEOUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_first_token_counts_from_submission, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_answer_of_no_text_counts_by_its_end, set_up, tear_down),
        cmocka_unit_test_setup_teardown(steady_is_while_all_run_and_texts_count_as_their_tokens,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(rows_that_do_not_meet_have_no_steady_rate, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_gap_is_of_the_time_in_which_the_prompt_comes, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(more_words_make_a_longer_prompt, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_failure_or_a_refusal_is_the_runs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_silent_engine_is_given_up_after_ten_minutes, set_up,
                                        tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
