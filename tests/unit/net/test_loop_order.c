/* SPDX-License-Identifier: Apache-2.0 */
/* The contract of net/loop.h for timers, deferred work, other threads and signals, one body of
 * assertions over the three loops. */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake_loops.h"

/* --- timers and order --- */

struct step {
    struct world *w;
    char name;
    struct loop_timer timer, *also_clear;
    struct loop_defer defer, *also_defer;
    struct step *next; /* its timer is set from inside */
    bool last;
};

static void on_step(void *ud)
{
    struct step *s = ud;

    world_note(s->w, s->name);
    if (s->also_clear)
        loop_timer_clear(s->w->l, s->also_clear);
    if (s->next)
        loop_timer_set(s->w->l, &s->next->timer, 1000, on_step, s->next);
    if (s->also_defer)
        loop_defer_add(s->w->l, s->also_defer, on_step, s);
    s->also_defer = NULL;
    if (s->last)
        loop_stop(s->w->l);
}

static void timers_fire_once_in_order_of_time(void **state)
{
    static const struct {
        char name;
        int64_t delay_us;
    } plan[] = {{'c', 9000}, {'a', 0}, {'d', 12000}, {'b', 5000}, {'z', 20000}};
    struct world *w = *state;
    struct step steps[5] = {0};
    struct clock c = loop_clock(w->l);
    int64_t start = clock_mono_us(&c);

    for (size_t i = 0; i < 5; i++) {
        steps[i] = (struct step){.w = w, .name = plan[i].name, .last = plan[i].name == 'z'};
        loop_timer_set(w->l, &steps[i].timer, plan[i].delay_us, on_step, &steps[i]);
    }
    world_run(w);
    assert_string_equal(w->order, "abcdz");
    assert_true(clock_mono_us(&c) - start >= 20000);
}

static void a_timer_moved_or_cleared_keeps_to_the_last_word(void **state)
{
    struct world *w = *state;
    struct step a = {.w = w, .name = 'a'}, b = {.w = w, .name = 'b'}, c = {.w = w, .name = 'c'};
    struct step end = {.w = w, .name = 'z', .last = true};

    loop_timer_set(w->l, &a.timer, 1000, on_step, &a);
    loop_timer_set(w->l, &b.timer, 2000, on_step, &b);
    loop_timer_set(w->l, &c.timer, 3000, on_step, &c);
    loop_timer_set(w->l, &a.timer, 6000, on_step, &a); /* later than b */
    loop_timer_clear(w->l, &c.timer);
    loop_timer_set(w->l, &end.timer, 9000, on_step, &end);
    world_run(w);
    assert_string_equal(w->order, "baz");
}

static void a_timers_callback_may_clear_and_set_timers(void **state)
{
    struct world *w = *state;
    struct step end = {.w = w, .name = 'z', .last = true};
    struct step never = {.w = w, .name = 'n'};
    struct step a = {.w = w, .name = 'a', .next = &end, .also_clear = &never.timer};

    loop_timer_set(w->l, &a.timer, 1000, on_step, &a);
    loop_timer_set(w->l, &never.timer, 1001, on_step, &never); /* may be due together with a */
    world_run(w);
    world_run_a_while(w);
    assert_string_equal(w->order, "az");
}

static void deferred_work_runs_after_timers_in_the_order_it_was_queued(void **state)
{
    struct world *w = *state;
    struct step inner = {.w = w, .name = 'i'};
    struct step a = {.w = w, .name = 'a', .also_defer = &inner.defer}, b = {.w = w, .name = 'b'};
    struct step gone = {.w = w, .name = 'g'}, timer = {.w = w, .name = 't'};
    struct step end = {.w = w, .name = 'z', .last = true};

    loop_defer_add(w->l, &a.defer, on_step, &a);
    loop_defer_add(w->l, &gone.defer, on_step, &gone);
    loop_defer_add(w->l, &b.defer, on_step, &b);
    loop_defer_add(w->l, &a.defer, on_step, &a); /* queued already */
    loop_defer_remove(w->l, &gone.defer);
    loop_defer_remove(w->l, &gone.defer);
    loop_timer_set(w->l, &timer.timer, 0, on_step, &timer);
    loop_timer_set(w->l, &end.timer, 2000, on_step, &end);
    world_run(w);
    /* a's callback queued itself again (as `inner`, which notes a), still before the iteration
     * ended */
    assert_string_equal(w->order, "tabaz");
}

/* Queues one of each kind, and itself is of either. */
struct chain {
    struct step step, deferred, late;
};

static void on_chain(void *ud)
{
    struct chain *c = ud;

    world_note(c->step.w, c->step.name);
    loop_defer_late(c->step.w->l, &c->late.defer, on_step, &c->late);
    loop_defer_add(c->step.w->l, &c->deferred.defer, on_step, &c->deferred);
}

static void late_work_runs_behind_everything_deferred_and_in_the_same_iteration(void **state)
{
    struct world *w = *state;
    struct chain first = {{.w = w, .name = 'L'}, {.w = w, .name = 'd'}, {.w = w, .name = 'l'}};
    struct chain second = {{.w = w, .name = 'A'}, {.w = w, .name = 'e'}, {.w = w, .name = 'm'}};
    struct step gone = {.w = w, .name = 'g'}, b = {.w = w, .name = 'b'};
    struct step end = {.w = w, .name = 'z', .last = true};

    loop_defer_late(w->l, &first.step.defer, on_chain, &first);
    loop_defer_late(w->l, &gone.defer, on_step, &gone);
    loop_defer_add(w->l, &second.step.defer, on_chain, &second);
    loop_defer_add(w->l, &b.defer, on_step, &b);
    loop_defer_late(w->l, &b.defer, on_step, &b); /* queued already, and stays where it is */
    loop_defer_remove(w->l, &gone.defer);
    loop_timer_set(w->l, &end.timer, 2000, on_step, &end);
    world_run(w);
    assert_string_equal(w->order, "AbeLdmlz");
}

static void removing_the_last_deferred_item_leaves_a_queue_that_works(void **state)
{
    struct world *w = *state;
    struct step a = {.w = w, .name = 'a'}, b = {.w = w, .name = 'b'}, c = {.w = w, .name = 'c'};
    struct step end = {.w = w, .name = 'z', .last = true};

    loop_defer_add(w->l, &a.defer, on_step, &a);
    loop_defer_add(w->l, &b.defer, on_step, &b);
    loop_defer_remove(w->l, &b.defer);
    loop_defer_add(w->l, &c.defer, on_step, &c);
    loop_timer_set(w->l, &end.timer, 1000, on_step, &end);
    world_run(w);
    assert_string_equal(w->order, "acz");
}

/* --- turns (L7) --- */

struct turn {
    struct world *w;
    struct loop_defer defer;
    int again; /* times that it queues itself anew */
};

static void on_turn(void *ud)
{
    struct turn *t = ud;

    world_note(t->w, '.');
    if (t->again-- > 0)
        loop_defer_turn(t->w->l, &t->defer, on_turn, t);
}

/* One iteration, marked where it begins. */
static void one_iteration(struct world *w)
{
    struct step begin = {.w = w, .name = '|', .last = true};

    loop_defer_add(w->l, &begin.defer, on_step, &begin);
    world_run(w);
}

static void what_waits_its_turn_has_a_share_of_each_iteration_first_in_first_out(void **state)
{
    struct world *w = *state;
    struct turn turns[LOOP_TURN_SHARE + 3] = {0};
    struct step gone = {.w = w, .name = 'g'};

    for (int i = 0; i < LOOP_TURN_SHARE + 3; i++) {
        turns[i] = (struct turn){.w = w, .again = i == 0};
        loop_defer_turn(w->l, &turns[i].defer, on_turn, &turns[i]);
    }
    loop_defer_turn(w->l, &gone.defer, on_step, &gone);
    loop_defer_remove(w->l, &gone.defer);
    for (int i = 0; i < 3; i++)
        one_iteration(w);
    /* the first one's second time comes behind the others, in another iteration */
    assert_string_equal(w->order, "|................|....|");
}

static void a_piece_of_work_is_done_at_once_where_nobody_waits_and_the_share_lasts(void **state)
{
    struct world *w = *state;
    struct turn waits = {.w = w};

    for (int i = 0; i < LOOP_TURN_SHARE - 1; i++)
        assert_true(loop_turn_take(w->l));
    loop_defer_turn(w->l, &waits.defer, on_turn, &waits);
    assert_false(loop_turn_take(w->l));
    loop_defer_remove(w->l, &waits.defer);
    assert_true(loop_turn_take(w->l));
    assert_false(loop_turn_take(w->l));
    one_iteration(w);
    assert_true(loop_turn_take(w->l)); /* the next iteration's */
}

/* Alone, with less than the millisecond that libuv counts in: a mutation of the rounding (findings
 * §4) slept for ever. */
/* A hundred large reads in one iteration would be milliseconds of copying. */
static void a_large_read_counts_as_several_pieces(void **state)
{
    struct world *w = *state;
    int pieces = 0;

    while (loop_turn_take(w->l)) {
        pieces++;
        loop_turn_charge(w->l, 4 * LOOP_TURN_BYTES);
    }
    assert_int_equal(pieces, LOOP_TURN_SHARE / 4);
    one_iteration(w);
    assert_true(loop_turn_take(w->l));
    loop_turn_charge(w->l, LOOP_TURN_BYTES); /* what a piece may be */
    for (int i = 1; i < LOOP_TURN_SHARE; i++)
        assert_true(loop_turn_take(w->l));
    assert_false(loop_turn_take(w->l));
}

static void a_timer_of_less_than_a_millisecond_fires(void **state)
{
    struct world *w = *state;

    for (int us = 1; us < 3000; us += 499) {
        struct step end = {.w = w, .name = 'z', .last = true};
        struct clock c = loop_clock(w->l);
        int64_t start = clock_mono_us(&c);

        (void)alarm(60); /* the guard is a timer too */
        loop_timer_set(w->l, &end.timer, us, on_step, &end);
        world_run(w);
        assert_true(clock_mono_us(&c) - start >= us);
    }
    (void)alarm(0);
    assert_string_equal(w->order, "zzzzzzz");
}

/* A loop that had set its clock for one timer wakes in time for an earlier one, and once it is
 * moved away, for the next. */
static void a_timer_set_earlier_than_all_others_fires_in_time(void **state)
{
    struct world *w = *state;
    struct step late = {.w = w, .name = 'l', .last = true};
    struct step early = {.w = w, .name = 'e'};
    struct step first = {.w = w, .name = 'f', .next = &early};

    loop_timer_set(w->l, &late.timer, 8000, on_step, &late);
    loop_timer_set(w->l, &first.timer, 2000, on_step, &first); /* sets `early` 1 ms later */
    world_run(w);
    assert_string_equal(w->order, "fel");
}

static void a_stopped_loop_runs_again(void **state)
{
    struct world *w = *state;

    for (int i = 0; i < 3; i++) {
        struct step end = {.w = w, .name = 'z', .last = true};

        loop_timer_set(w->l, &end.timer, 500, on_step, &end);
        world_run(w);
    }
    assert_string_equal(w->order, "zzz");
}

/* --- other threads and signals --- */

enum { POSTS = 20000 };

/* Numbers posted by another thread, as the product's queues are. */
struct posting {
    struct world *w;
    struct loop_waker *waker;
    pthread_mutex_t lock;
    int posted, taken, wakes;
    bool free_in_callback;
};

static void on_wake(void *ud)
{
    struct posting *p = ud;

    p->wakes++;
    pthread_mutex_lock(&p->lock);
    p->taken = p->posted;
    pthread_mutex_unlock(&p->lock);
    if (p->free_in_callback)
        loop_waker_free(p->waker);
    if (p->taken == POSTS)
        loop_stop(p->w->l);
}

static void *post_all(void *ud)
{
    struct posting *p = ud;

    for (int i = 0; i < POSTS; i++) {
        pthread_mutex_lock(&p->lock);
        p->posted++;
        pthread_mutex_unlock(&p->lock);
        loop_waker_wake(p->waker);
    }
    return NULL;
}

static void what_another_thread_posts_before_a_wake_up_is_seen_after_it(void **state)
{
    struct world *w = *state;
    struct posting p = {.w = w, .lock = PTHREAD_MUTEX_INITIALIZER};
    pthread_t thread;

    assert_int_equal(loop_waker_new(w->l, on_wake, &p, &p.waker), 0);
    if (w->kind->real)
        assert_int_equal(pthread_create(&thread, NULL, post_all, &p), 0);
    else
        post_all(&p); /* virtual time has one thread */
    world_run(w);
    if (w->kind->real)
        pthread_join(thread, NULL);
    assert_int_equal(p.taken, POSTS);
    assert_in_range(p.wakes, 1, POSTS); /* wakes in between coalesce */
    world_run_a_while(w);
    loop_waker_free(p.waker);
    loop_waker_free(NULL);
}

static void many_wakes_before_the_loop_turns_are_one(void **state)
{
    struct world *w = *state;
    struct posting p = {.w = w, .lock = PTHREAD_MUTEX_INITIALIZER};

    assert_int_equal(loop_waker_new(w->l, on_wake, &p, &p.waker), 0);
    post_all(&p);
    world_run(w);
    world_run_a_while(w);
    assert_int_equal(p.wakes, 1);
    loop_waker_free(p.waker);
}

static void a_waker_may_be_freed_in_its_own_callback(void **state)
{
    struct world *w = *state;
    struct posting a = {
        .w = w, .lock = PTHREAD_MUTEX_INITIALIZER, .posted = POSTS, .free_in_callback = true};
    struct posting b = a;

    assert_int_equal(loop_waker_new(w->l, on_wake, &a, &a.waker), 0);
    assert_int_equal(loop_waker_new(w->l, on_wake, &b, &b.waker), 0);
    loop_waker_wake(a.waker);
    loop_waker_wake(b.waker);
    world_run(w);
    world_run_a_while(w);
    assert_int_equal(a.wakes, 1);
    assert_int_equal(b.wakes, 1);
}

static void on_signal(void *ud, int signo)
{
    struct world *w = ud;

    assert_int_equal(signo, SIGUSR1);
    world_note(w, 's');
    loop_stop(w->l);
}

static void a_signal_arrives_on_the_loops_thread(void **state)
{
    struct world *w = *state;

    assert_int_equal(loop_on_signal(w->l, SIGUSR1, on_signal, w), 0);
    if (!w->kind->real)
        return; /* no signals reach virtual time */
    raise(SIGUSR1);
    world_run(w);
    assert_string_equal(w->order, "s");
}

#define CONTRACT(kind)                                                                      \
    OVER(kind, timers_fire_once_in_order_of_time),                                          \
        OVER(kind, a_timer_moved_or_cleared_keeps_to_the_last_word),                        \
        OVER(kind, a_timers_callback_may_clear_and_set_timers),                             \
        OVER(kind, deferred_work_runs_after_timers_in_the_order_it_was_queued),             \
        OVER(kind, late_work_runs_behind_everything_deferred_and_in_the_same_iteration),    \
        OVER(kind, removing_the_last_deferred_item_leaves_a_queue_that_works),              \
        OVER(kind, a_stopped_loop_runs_again),                                              \
        OVER(kind, what_waits_its_turn_has_a_share_of_each_iteration_first_in_first_out),   \
        OVER(kind, a_piece_of_work_is_done_at_once_where_nobody_waits_and_the_share_lasts), \
        OVER(kind, a_large_read_counts_as_several_pieces),                                  \
        OVER(kind, a_timer_of_less_than_a_millisecond_fires),                               \
        OVER(kind, a_timer_set_earlier_than_all_others_fires_in_time),                      \
        OVER(kind, what_another_thread_posts_before_a_wake_up_is_seen_after_it),            \
        OVER(kind, many_wakes_before_the_loop_turns_are_one),                               \
        OVER(kind, a_waker_may_be_freed_in_its_own_callback),                               \
        OVER(kind, a_signal_arrives_on_the_loops_thread)

int main(void)
{
    const struct CMUnitTest tests[] = {CONTRACT(uv), CONTRACT(epoll), CONTRACT(fake)};

    return cmocka_run_group_tests_name("loop order", tests, NULL, NULL);
}
