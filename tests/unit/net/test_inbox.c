/* SPDX-License-Identifier: Apache-2.0 */
/* Messages to a loop from other threads and from itself. The tests with threads are what TSan looks
 * at: everything that goes with a message is plain memory. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/list.h"
#include "fake_loops.h"
#include "net/inbox.h"

/* --- one thread --- */

struct letter {
    struct inbox_item item;
    struct world *w;
    struct inbox *in;
    char name;
    int again; /* how often it posts itself again */
    bool last;
};

static void read_letter(void *ud)
{
    struct letter *l = ud;

    world_note(l->w, l->name);
    if (l->again-- > 0)
        inbox_post(l->in, &l->item, read_letter, l);
    else if (l->last)
        loop_stop(l->w->l);
}

static void post_letter(struct letter *l)
{
    inbox_post(l->in, &l->item, read_letter, l);
}

static void messages_run_in_order_and_not_from_inside_the_call(void **state)
{
    struct world *w = *state;
    struct inbox *in;
    struct letter letters[4];

    assert_int_equal(inbox_new(w->l, &in), 0);
    for (int i = 0; i < 4; i++) {
        letters[i] = (struct letter){.w = w, .in = in, .name = (char)('a' + i), .last = i == 3};
        post_letter(&letters[i]);
    }
    assert_string_equal(w->order, "");
    world_run(w);
    assert_string_equal(w->order, "abcd");
    inbox_free(in);
    inbox_free(NULL);
}

static void a_message_may_be_posted_again_while_it_runs(void **state)
{
    struct world *w = *state;
    struct inbox *in;
    struct letter a, b;

    assert_int_equal(inbox_new(w->l, &in), 0);
    a = (struct letter){.w = w, .in = in, .name = 'a', .again = 2, .last = true};
    b = (struct letter){.w = w, .in = in, .name = 'b'};
    post_letter(&a);
    post_letter(&b);
    world_run(w);
    assert_string_equal(w->order, "abaa");
    inbox_free(in);
}

struct flood {
    struct world *w;
    struct inbox_item items[3 * INBOX_TURN];
    struct loop_timer timer;
    int n_run, n_run_at_timer;
};

static void run_flood(void *ud)
{
    struct flood *f = ud;

    if (++f->n_run == 3 * INBOX_TURN)
        loop_stop(f->w->l);
}

static void note_flood(void *ud)
{
    struct flood *f = ud;

    f->n_run_at_timer = f->n_run;
}

static void a_flood_of_messages_lets_timers_run_between(void **state)
{
    struct world *w = *state;
    struct flood f = {.w = w, .n_run_at_timer = -1};
    struct inbox *in;

    assert_int_equal(inbox_new(w->l, &in), 0);
    loop_timer_set(w->l, &f.timer, 0, note_flood, &f);
    for (int i = 0; i < 3 * INBOX_TURN; i++)
        inbox_post(in, &f.items[i], run_flood, &f);
    world_run(w);
    assert_int_equal(f.n_run, 3 * INBOX_TURN);
    assert_in_range(f.n_run_at_timer, 0, INBOX_TURN);
    world_run_a_while(w); /* a wake-up too many finds nothing */
    inbox_free(in);
}

static void what_is_left_when_the_loop_has_ended_can_be_drained(void **state)
{
    struct world *w = *state;
    struct inbox *in;
    struct letter a, b;

    assert_int_equal(inbox_new(w->l, &in), 0);
    a = (struct letter){.w = w, .in = in, .name = 'a', .again = 1};
    b = (struct letter){.w = w, .in = in, .name = 'b'};
    post_letter(&a);
    post_letter(&b);
    inbox_drain(in);
    assert_string_equal(w->order, "aba");
    inbox_free(in);
}

/* --- several threads --- */

enum { SENDERS = 3, EACH = 5000, BALLS = 50, TURNS = 400 };

struct parcel {
    struct inbox_item item;
    struct post_office *office;
    int sender, number;
};

struct post_office {
    struct world *w;
    struct inbox *in;
    int next[SENDERS]; /* what each sender's next one is: the loop's */
    int n_taken;
};

struct sender {
    struct post_office *office;
    int number;
    pthread_t thread;
};

static void take_parcel(void *ud)
{
    struct parcel *p = ud;
    struct post_office *o = p->office;

    assert_int_equal(p->number, o->next[p->sender]++);
    free(p);
    if (++o->n_taken == SENDERS * EACH)
        loop_stop(o->w->l);
}

static void *send_parcels(void *ud)
{
    struct sender *s = ud;

    for (int i = 0; i < EACH; i++) {
        struct parcel *p = calloc(1, sizeof *p);

        if (!p)
            abort();
        p->office = s->office;
        p->sender = s->number;
        p->number = i;
        inbox_post(s->office->in, &p->item, take_parcel, p);
    }
    return NULL;
}

static void nothing_is_lost_or_overtaken_with_many_senders(void **state)
{
    struct world *w = *state;
    struct post_office office = {.w = w};
    struct sender senders[SENDERS];

    assert_int_equal(inbox_new(w->l, &office.in), 0);
    for (int i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){.office = &office, .number = i};
        assert_int_equal(pthread_create(&senders[i].thread, NULL, send_parcels, &senders[i]), 0);
    }
    world_run(w);
    for (int i = 0; i < SENDERS; i++)
        pthread_join(senders[i].thread, NULL);
    world_run_a_while(w); /* the last wake-ups */
    inbox_free(office.in);
}

/* Balls between two loops: each side plays on plain memory that only the other has touched before.
 */
struct side {
    struct loop *l;
    struct inbox *in;
    int n_out; /* balls that will not come back here */
};

struct ball {
    struct inbox_item item;
    struct side *to, *from;
    int turns;
};

static void hit(void *ud)
{
    struct ball *b = ud;
    struct side *here = b->to;

    b->to = b->from;
    b->from = here;
    if (++b->turns >= TURNS - 1 && ++here->n_out == BALLS)
        loop_stop(here->l);
    if (b->turns < TURNS)
        inbox_post(b->to->in, &b->item, hit, b);
}

static void *play(void *ud)
{
    struct side *s = ud;

    return loop_run(s->l) == 0 ? s : NULL;
}

static void two_loops_hand_the_same_things_to_and_fro(void **state)
{
    struct world *w = *state;
    struct side left = {.l = w->l}, right = {0};
    static struct ball balls[BALLS];
    pthread_t thread;
    void *ended;

    assert_int_equal(w->kind->make(&right.l), 0);
    assert_int_equal(inbox_new(left.l, &left.in), 0);
    assert_int_equal(inbox_new(right.l, &right.in), 0);
    assert_int_equal(pthread_create(&thread, NULL, play, &right), 0);
    for (int i = 0; i < BALLS; i++) {
        balls[i] = (struct ball){.to = &right, .from = &left};
        inbox_post(right.in, &balls[i].item, hit, &balls[i]);
    }
    world_run(w);
    pthread_join(thread, &ended);
    assert_ptr_equal(ended, &right);
    for (int i = 0; i < BALLS; i++)
        assert_int_equal(balls[i].turns, TURNS);
    inbox_free(left.in);
    inbox_free(right.in);
    loop_free(right.l);
}

#define ON_ONE_THREAD(kind)                                         \
    OVER(kind, messages_run_in_order_and_not_from_inside_the_call), \
        OVER(kind, a_message_may_be_posted_again_while_it_runs),    \
        OVER(kind, a_flood_of_messages_lets_timers_run_between),    \
        OVER(kind, what_is_left_when_the_loop_has_ended_can_be_drained)

#define ON_MANY_THREADS(kind)                                   \
    OVER(kind, nothing_is_lost_or_overtaken_with_many_senders), \
        OVER(kind, two_loops_hand_the_same_things_to_and_fro)

int main(void)
{
    const struct CMUnitTest tests[] = {ON_ONE_THREAD(uv), ON_ONE_THREAD(epoll), ON_ONE_THREAD(fake),
                                       ON_MANY_THREADS(uv), ON_MANY_THREADS(epoll)};

    return cmocka_run_group_tests_name("inbox", tests, NULL, NULL);
}
