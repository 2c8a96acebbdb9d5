/* SPDX-License-Identifier: Apache-2.0 */
/* The batch scheduler over a scripted model. Runs under TSan as well. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "provider/engine/scheduler.h"
#include "unit/provider/fake_model.h"

enum { ANSWERS = 16, TEXT_BYTES = 4096 };

/* What came of one request. */
struct answer {
    char text[TEXT_BYTES];
    size_t n;
    int64_t tokens, prompt_tokens, completion_tokens;
    bool admitted, done, failed;
    enum chunk_finish finish;
    int code;
};

struct world {
    struct fake_model model;
    struct scheduler *scheduler;
    pthread_mutex_t lock;
    pthread_cond_t woken;
    bool wake;
    struct answer answers[ANSWERS + 1];
};

static void on_wake(void *ud)
{
    struct world *w = ud;

    pthread_mutex_lock(&w->lock);
    w->wake = true;
    pthread_cond_signal(&w->woken);
    pthread_mutex_unlock(&w->lock);
}

static int set_up(void **state)
{
    struct world *w = calloc(1, sizeof *w);

    fake_model_init(&w->model);
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->woken, NULL);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;

    fake_model_allow(&w->model, 1000000);
    scheduler_stop(w->scheduler);
    assert_false(w->model.broke_order);
    free(w);
    return 0;
}

static void start(struct world *w, size_t max_waiting)
{
    const struct scheduler_config config = {.ops = &fake_model_ops,
                                            .model = &w->model,
                                            .chunk_tokens = 64,
                                            .max_waiting = max_waiting,
                                            .seed = 1,
                                            .wake = on_wake,
                                            .wake_ud = w};

    assert_int_equal(scheduler_start(&config, &w->scheduler, NULL), 0);
}

static int ask(struct world *w, uint64_t tag, const char *messages, int64_t max_tokens)
{
    const struct chat_request chat = {
        .messages = str_from(messages), .max_tokens = max_tokens, .temperature = 0, .top_p = 1};

    return scheduler_submit(w->scheduler, tag, &chat);
}

static void take_event(struct world *w, const struct engine_event *e)
{
    struct answer *a = &w->answers[e->tag];

    switch (e->kind) {
    case ENGINE_ADMITTED:
        a->admitted = true;
        a->prompt_tokens = e->prompt_tokens;
        break;
    case ENGINE_TEXT:
        assert_true(str_is_utf8(e->text));
        assert_true(a->n + e->text.n < TEXT_BYTES);
        memcpy(a->text + a->n, e->text.p, e->text.n);
        a->n += e->text.n;
        a->tokens += e->tokens;
        break;
    case ENGINE_DONE:
        a->done = true;
        a->finish = e->finish;
        a->completion_tokens = e->completion_tokens;
        break;
    case ENGINE_FAILED:
        a->failed = true;
        a->code = e->code;
        a->prompt_tokens = e->prompt_tokens;
        break;
    }
}

static void drain(struct world *w)
{
    struct engine_event e;

    while (scheduler_poll(w->scheduler, &e))
        take_event(w, &e);
}

/* Until the request has ended; events of others are taken too. */
static const struct answer *finish(struct world *w, uint64_t tag)
{
    drain(w);
    while (!w->answers[tag].done && !w->answers[tag].failed) {
        pthread_mutex_lock(&w->lock);
        while (!w->wake)
            pthread_cond_wait(&w->woken, &w->lock);
        w->wake = false;
        pthread_mutex_unlock(&w->lock);
        drain(w);
    }
    return &w->answers[tag];
}

/* Until the request is prepared, and waits for a slot or runs. */
static void admitted(struct world *w, uint64_t tag)
{
    drain(w);
    while (!w->answers[tag].admitted) {
        pthread_mutex_lock(&w->lock);
        while (!w->wake)
            pthread_cond_wait(&w->woken, &w->lock);
        w->wake = false;
        pthread_mutex_unlock(&w->lock);
        drain(w);
    }
}

/* A prompt of `n` tokens. */
static const char *long_prompt(char ret_text[TEXT_BYTES], size_t n)
{
    memset(ret_text, 'x', n);
    ret_text[0] = '[';
    ret_text[n - 1] = ']';
    ret_text[n] = 0;
    return ret_text;
}

/* Let passes run until `n` have ended in all and the next stands at the gate. */
static void run_passes(struct world *w, int n)
{
    fake_model_allow(&w->model, n - w->model.allowed);
    fake_model_wait_at_gate(&w->model);
    drain(w);
}

static int64_t waiting(struct world *w)
{
    struct load load;

    scheduler_load(w->scheduler, &load);
    return load.waiting;
}

/* --- batching --- */

static void eight_requests_share_passes_and_each_says_what_it_says_alone(void **state)
{
    static const char *const prompts[8] = {
        "[one]",  "[the second]", "[3]",     "[number four is longer]",
        "[five]", "[6 6 6]",      "[seven]", "[eight, the last]"};
    struct world *w = *state;
    char alone[8][TEXT_BYTES];
    int64_t tokens = 0;
    int before;

    start(w, 16);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(ask(w, 1, prompts[i], 10 + 5 * i), 0);
        snprintf(alone[i], sizeof alone[i], "%s", finish(w, 1)->text);
        memset(&w->answers[1], 0, sizeof w->answers[1]);
    }
    before = fake_model_passes(&w->model);
    w->model.gated = true;
    for (uint64_t i = 0; i < 8; i++)
        assert_int_equal(ask(w, i + 1, prompts[i], 10 + 5 * (int64_t)i), 0);
    admitted(w, 8);
    fake_model_allow(&w->model, 100000);
    for (uint64_t i = 0; i < 8; i++) {
        const struct answer *a = finish(w, i + 1);

        assert_string_equal(a->text, alone[i]);
        assert_int_equal(a->finish, CHUNK_FINISH_LENGTH);
        assert_int_equal(a->completion_tokens, 10 + 5 * (int64_t)i);
        assert_int_equal(a->tokens, a->completion_tokens);
        tokens += a->completion_tokens;
    }
    assert_true((fake_model_passes(&w->model) - before) * 3 < tokens);
    assert_true(w->model.most_seqs > 4);
}

static void a_request_is_admitted_into_a_running_batch_and_disturbs_nobody(void **state)
{
    struct world *w = *state;
    char alone[TEXT_BYTES];

    start(w, 4);
    ask(w, 1, "[long one]", 60);
    snprintf(alone, sizeof alone, "%s", finish(w, 1)->text);
    memset(&w->answers[1], 0, sizeof w->answers[1]);
    w->model.gated = true;
    ask(w, 1, "[long one]", 60);
    fake_model_allow(&w->model, fake_model_passes(&w->model) + 10);
    fake_model_wait_at_gate(&w->model);
    ask(w, 2, "[late]", 5);
    admitted(w, 2);
    fake_model_allow(&w->model, 1000);
    assert_int_equal(finish(w, 2)->completion_tokens, 5);
    assert_string_equal(finish(w, 1)->text, alone);
}

static void a_gap_between_slots_is_covered_so_that_batches_stay_whole(void **state)
{
    struct world *w = *state;

    start(w, 8);
    w->model.gated =
        true; /* the first is still running when the second comes, and ends long before it */
    ask(w, 1, "[a]", 4);
    ask(w, 2, "[b]", 40);
    admitted(w, 2);
    fake_model_allow(&w->model, 1000);
    assert_int_equal(finish(w, 2)->completion_tokens, 40);
    assert_true(scheduler_counters(w->scheduler).rows_covering > 0);
}

static void a_long_prompt_comes_in_pieces(void **state)
{
    struct world *w = *state;
    char prompt[TEXT_BYTES];
    int before;

    start(w, 4);
    before = fake_model_passes(&w->model);
    ask(w, 1, long_prompt(prompt, 200), 1);
    assert_int_equal(finish(w, 1)->prompt_tokens, 200);
    assert_int_equal(fake_model_passes(&w->model) - before, 4); /* 65 + 65 + 65 + 5 */
}

/* Slots 0 and 1 with a long prompt each, slot 2 with an answer that runs; no sequence may be
 * missing from a pass (tear_down looks), and the first prompt is not held up by the second. */
static void long_prompts_come_in_pieces_beside_running_rows(void **state)
{
    struct world *w = *state;
    char prompt[TEXT_BYTES];

    w->model.gated = true;
    start(w, 8);
    ask(w, 1, "[a]", 2);
    fake_model_wait_at_gate(&w->model);
    ask(w, 2, "[b]", 1);
    ask(w, 3, "[c]", 100);
    admitted(w, 3);
    run_passes(w, 1);
    ask(w, 4, long_prompt(prompt, 200), 1);
    ask(w, 5, prompt, 1);
    admitted(w, 5);
    run_passes(w, 2); /* 1 and 2 have ended; now 4 and 5 take their slots */
    assert_true(w->answers[1].done && w->answers[2].done);
    run_passes(w, 6); /* 65 + 65 + 65 + 5 */
    assert_true(w->answers[4].done && !w->answers[5].done);
    assert_int_equal(w->answers[3].tokens, 5); /* one each pass */
}

static void a_later_prompt_in_a_lower_slot_does_not_overtake(void **state)
{
    struct world *w = *state;
    char prompt[TEXT_BYTES];

    w->model.gated = true;
    start(w, 8);
    ask(w, 1, "[a]", 2);
    fake_model_wait_at_gate(&w->model);
    ask(w, 2, long_prompt(prompt, 200), 1);
    admitted(w, 2);
    run_passes(w, 1);
    ask(w, 3, prompt, 1);
    admitted(w, 3);
    run_passes(w, 2);
    assert_true(w->answers[1].done); /* 3 takes its slot, below that of 2 */
    run_passes(w, 5);
    assert_true(w->answers[2].done && !w->answers[3].done);
}

/* --- before a slot --- */

static void a_request_is_admitted_before_a_slot_is_free(void **state)
{
    struct world *w = *state;

    w->model.gated = true;
    start(w, 16);
    for (uint64_t i = 1; i <= FAKE_SEQS + 1; i++)
        ask(w, i, "[x]", 50);
    admitted(w, FAKE_SEQS + 1);
    assert_int_equal(w->answers[FAKE_SEQS + 1].prompt_tokens, 3);
    assert_true(waiting(w) > 0);
}

static void a_prompt_that_is_slow_to_prepare_holds_up_no_running_row(void **state)
{
    struct world *w = *state;

    w->model.gated = true;
    start(w, 8);
    ask(w, 1, "[runs]", 50);
    admitted(w, 1);
    fake_model_hold_renders(&w->model, true);
    for (uint64_t i = 2; i <= 8; i++)
        ask(w, i, "[slow]", 1);
    fake_model_wait_at_render(&w->model);
    fake_model_allow(&w->model, 1000);
    assert_int_equal(finish(w, 1)->completion_tokens, 50);
    assert_false(w->answers[2].admitted);
    fake_model_hold_renders(&w->model, false);
    assert_int_equal(finish(w, 8)->completion_tokens, 1);
}

static void messages_that_no_context_can_hold_are_refused_unread(void **state)
{
    struct world *w = *state;
    char prompt[TEXT_BYTES];

    start(w, 4);
    long_prompt(prompt, FAKE_CONTEXT * FAKE_LONGEST_PIECE + 1);
    assert_int_equal(ask(w, 1, prompt, 1), ERR_LIMIT);
    assert_int_equal(w->model.renders, 0);
}

static void more_messages_than_the_context_has_tokens_are_refused_unread(void **state)
{
    struct world *w = *state;
    struct chat_request chat = {.messages = STR("[x]"), .n_messages = FAKE_CONTEXT, .top_p = 1};

    start(w, 4);
    assert_int_equal(scheduler_submit(w->scheduler, 1, &chat), ERR_LIMIT);
    assert_int_equal(w->model.renders, 0);
    chat.n_messages--;
    assert_int_equal(scheduler_submit(w->scheduler, 1, &chat), 0);
}

static void one_that_is_cancelled_before_it_is_prepared_is_never_rendered(void **state)
{
    struct world *w = *state;

    fake_model_hold_renders(&w->model, true);
    start(w, 4);
    ask(w, 1, "[x]", 1);
    fake_model_wait_at_render(&w->model);
    ask(w, 2, "[y]", 1);
    ask(w, 3, "[z]", 1);
    scheduler_cancel(w->scheduler, 2);
    fake_model_hold_renders(&w->model, false);
    finish(w, 3);
    assert_int_equal(w->model.renders, 2);
}

static void a_cancelled_request_leaves_the_queue_at_once(void **state)
{
    struct world *w = *state;

    w->model.gated = true;
    start(w, 2);
    ask(w, 1, "[runs]", 5);
    fake_model_wait_at_gate(&w->model);
    assert_int_equal(ask(w, 2, "[x]", 1), 0);
    assert_int_equal(ask(w, 3, "[x]", 1), 0);
    admitted(w, 3);
    assert_int_equal(ask(w, 4, "[x]", 1), ERR_BUSY);
    scheduler_cancel(w->scheduler, 2);
    assert_int_equal(waiting(w), 1);
    assert_int_equal(ask(w, 4, "[x]", 1), 0);
    fake_model_allow(&w->model, 1000);
    finish(w, 3);
    finish(w, 4);
    assert_false(w->answers[2].done || w->answers[2].failed);
}

static void one_that_is_cancelled_while_it_is_prepared_leaves_too(void **state)
{
    struct world *w = *state;

    fake_model_hold_renders(&w->model, true);
    start(w, 1);
    ask(w, 1, "[x]", 1);
    fake_model_wait_at_render(&w->model);
    scheduler_cancel(w->scheduler, 1);
    scheduler_cancel(w->scheduler, 1);
    assert_int_equal(waiting(w), 0);
    assert_int_equal(ask(w, 2, "[y]", 1), 0);
    fake_model_hold_renders(&w->model, false);
    finish(w, 2);
    assert_false(w->answers[1].done);
    assert_int_equal(waiting(w), 0);
}

/* --- ends --- */

static void an_answer_ends_where_the_model_ends_it(void **state)
{
    struct world *w = *state;

    w->model.end_after = 3;
    start(w, 4);
    ask(w, 1, "[x]", 100);
    assert_int_equal(finish(w, 1)->finish, CHUNK_FINISH_STOP);
    assert_int_equal(w->answers[1].n, 3);
    assert_int_equal(w->answers[1].completion_tokens, 4); /* the end is a token too */
}

static void the_context_ends_an_answer_with_length(void **state)
{
    struct world *w = *state;

    start(w, 4);
    ask(w, 1, "[x]", 100000);
    assert_int_equal(finish(w, 1)->finish, CHUNK_FINISH_LENGTH);
    assert_int_equal(w->answers[1].completion_tokens, FAKE_CONTEXT - 3);
}

static void a_prompt_that_fills_the_context_is_refused(void **state)
{
    struct world *w = *state;
    char prompt[FAKE_CONTEXT + 1];

    memset(prompt, 'x', sizeof prompt - 1);
    prompt[FAKE_CONTEXT] = 0;
    start(w, 4);
    ask(w, 1, prompt, 1);
    assert_int_equal(finish(w, 1)->code, ERR_LIMIT);
    assert_int_equal(w->answers[1].prompt_tokens, FAKE_CONTEXT);
    assert_false(w->answers[1].admitted);
    ask(w, 2, "\"unrenderable\"", 1);
    assert_int_equal(finish(w, 2)->code, ERR_PARSE);
}

static void a_cancelled_request_stops_within_one_step(void **state)
{
    struct world *w = *state;
    struct load load;
    int at;

    w->model.gated = true;
    start(w, 4);
    ask(w, 1, "[never ends]", 200);
    fake_model_allow(&w->model, 5);
    fake_model_wait_at_gate(&w->model); /* the sixth pass is under way */
    at = fake_model_passes(&w->model);
    scheduler_cancel(w->scheduler, 1); /* does not wait for it */
    ask(w, 2, "[next]", 1);
    admitted(w, 2);
    fake_model_allow(&w->model, 100);
    finish(w, 2);
    assert_int_equal(fake_model_passes(&w->model),
                     at + 1); /* the rest of the sixth, then only [next] */
    scheduler_load(w->scheduler, &load);
    assert_int_equal(load.waiting, 0);
    drain(w);
    assert_false(w->answers[1].done);
}

static void a_full_queue_refuses_at_once(void **state)
{
    struct world *w = *state;
    int refused = 0;

    w->model.gated = true;
    start(w, 2);
    for (uint64_t i = 1; i <= 14; i++)
        refused += ask(w, i, "[x]", 2) == ERR_BUSY;
    assert_true(refused >= 14 - FAKE_SEQS - 2);
    fake_model_allow(&w->model, 1000);
    finish(w, 1);
}

static void a_failed_pass_fails_its_requests_and_not_the_next(void **state)
{
    struct world *w = *state;

    w->model.fail_next = true;
    start(w, 4);
    ask(w, 1, "[x]", 5);
    assert_int_equal(finish(w, 1)->code, ERR_MODEL);
    ask(w, 2, "[x]", 5);
    assert_int_equal(finish(w, 2)->completion_tokens, 5);
}

static void a_model_whose_logits_are_no_numbers_fails_the_request(void **state)
{
    struct world *w = *state;

    w->model.broken = true;
    start(w, 4);
    ask(w, 1, "[x]", 5);
    assert_int_equal(finish(w, 1)->code, ERR_MODEL);
    w->model.broken = false;
    ask(w, 2, "[x]", 5);
    assert_int_equal(finish(w, 2)->completion_tokens, 5);
}

static void stopping_with_requests_running_and_waiting_leaks_nothing(void **state)
{
    struct world *w = *state;

    start(w, 16);
    for (uint64_t i = 1; i <= 12; i++)
        ask(w, i, "[x]", 100000);
    /* tear_down stops while they run; ASan and TSan look */
}

/* --- text --- */

static void a_stop_string_split_over_tokens_never_leaves_in_part(void **state)
{
    struct world *w = *state;
    const struct chat_request chat = {
        .messages = STR("[x]"), .max_tokens = 20, .stops = {STR("STOP")}, .n_stops = 1, .top_p = 1};
    const char *pieces[] = {"one S", "T", "ep two ", "ST", "OP", " never"};

    memcpy(w->model.pieces, pieces, sizeof pieces);
    start(w, 4);
    assert_int_equal(scheduler_submit(w->scheduler, 1, &chat), 0);
    assert_string_equal(finish(w, 1)->text, "one STep two ");
    assert_int_equal(w->answers[1].finish, CHUNK_FINISH_STOP);
}

static void a_character_split_over_tokens_leaves_whole(void **state)
{
    struct world *w = *state;
    const char *pieces[] = {"a\xE2", "\x82", "\xAC", "b\xF0\x9F"};

    memcpy(w->model.pieces, pieces, sizeof pieces);
    start(w, 4);
    ask(w, 1, "[x]", 20);
    /* every event was UTF-8 (take_event looks); what stayed incomplete is replaced at the end */
    assert_string_equal(finish(w, 1)->text, "a\xE2\x82\xAC"
                                            "b\xEF\xBF\xBD\xEF\xBF\xBD");
}

static void counters_tell_what_runs(void **state)
{
    struct world *w = *state;
    struct load load;

    w->model.gated = true;
    start(w, 16);
    for (uint64_t i = 1; i <= FAKE_SEQS + 2; i++)
        ask(w, i, "[x]", 50);
    fake_model_allow(&w->model, 12);
    fake_model_wait_at_gate(&w->model);
    scheduler_load(w->scheduler, &load);
    assert_int_equal(load.running + load.waiting, FAKE_SEQS + 2);
    assert_true(load.forward_passes >= 11);
    assert_true(load.active_tokens > 0 && load.max_tokens_potential >= load.active_tokens);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(eight_requests_share_passes_and_each_says_what_it_says_alone),
        TEST(a_request_is_admitted_into_a_running_batch_and_disturbs_nobody),
        TEST(a_gap_between_slots_is_covered_so_that_batches_stay_whole),
        TEST(a_long_prompt_comes_in_pieces),
        TEST(long_prompts_come_in_pieces_beside_running_rows),
        TEST(a_later_prompt_in_a_lower_slot_does_not_overtake),
        TEST(a_request_is_admitted_before_a_slot_is_free),
        TEST(a_prompt_that_is_slow_to_prepare_holds_up_no_running_row),
        TEST(messages_that_no_context_can_hold_are_refused_unread),
        TEST(more_messages_than_the_context_has_tokens_are_refused_unread),
        TEST(one_that_is_cancelled_before_it_is_prepared_is_never_rendered),
        TEST(a_cancelled_request_leaves_the_queue_at_once),
        TEST(one_that_is_cancelled_while_it_is_prepared_leaves_too),
        TEST(an_answer_ends_where_the_model_ends_it),
        TEST(the_context_ends_an_answer_with_length),
        TEST(a_prompt_that_fills_the_context_is_refused),
        TEST(a_cancelled_request_stops_within_one_step),
        TEST(a_full_queue_refuses_at_once),
        TEST(a_failed_pass_fails_its_requests_and_not_the_next),
        TEST(a_model_whose_logits_are_no_numbers_fails_the_request),
        TEST(stopping_with_requests_running_and_waiting_leaks_nothing),
        TEST(a_stop_string_split_over_tokens_never_leaves_in_part),
        TEST(a_character_split_over_tokens_leaves_whole),
        TEST(counters_tell_what_runs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
