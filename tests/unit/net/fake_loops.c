/* SPDX-License-Identifier: Apache-2.0 */
/* The three loops, and running one until something happened. */
#include "fake_loops.h"

void world_note(struct world *w, char what)
{
    assert_true(w->n < sizeof w->order - 1);
    w->order[w->n++] = what;
}

static void guard_fired(void *ud)
{
    struct world *w = ud;

    w->timed_out = true;
    loop_stop(w->l);
}

void world_run(struct world *w)
{
    loop_timer_set(w->l, &w->guard, 5000000, guard_fired, w);
    assert_int_equal(loop_run(w->l), 0);
    loop_timer_clear(w->l, &w->guard);
    assert_false(w->timed_out);
}

static void stop_now(void *ud)
{
    loop_stop(((struct world *)ud)->l);
}

void world_run_a_while(struct world *w)
{
    struct loop_timer t = {0};

    loop_timer_set(w->l, &t, 20000, stop_now, w);
    world_run(w);
    loop_timer_clear(w->l, &t); /* something else may have stopped the loop */
}

static int make_uv(struct loop **ret_loop)
{
    return loop_uv_new(ret_loop, NULL);
}

static int make_epoll(struct loop **ret_loop)
{
    return loop_epoll_new(ret_loop, NULL);
}

static int make_fake(struct loop **ret_loop)
{
    return loop_fake_new(0, ret_loop);
}

const struct kind uv = {make_uv, true}, epoll = {make_epoll, true}, fake = {make_fake, false};

int world_setup(void **state)
{
    static struct world w;

    w = (struct world){.kind = *state};
    *state = &w;
    return w.kind->make(&w.l);
}

int world_teardown(void **state)
{
    loop_free(((struct world *)*state)->l);
    return 0;
}
