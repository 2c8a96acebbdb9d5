/* SPDX-License-Identifier: Apache-2.0 */
#include "net/inbox.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/check.h"

struct inbox {
    _Atomic(struct inbox_item *) posted; /* last one first */
    struct inbox_item *taken;            /* the loop's: first one first */
    struct loop_waker *waker;
};

/* Whether there was something to take. What was taken before has run. */
static bool inbox_take(struct inbox *in)
{
    struct inbox_item *item = atomic_exchange_explicit(&in->posted, NULL, memory_order_acquire);

    while (item) {
        struct inbox_item *next = item->next;

        item->next = in->taken;
        in->taken = item;
        item = next;
    }
    return in->taken != NULL;
}

static void inbox_run_first(struct inbox *in)
{
    struct inbox_item *item = in->taken;

    in->taken = item->next;
    item->posted = false;
    item->run(item->ud); /* may have freed it */
}

static void inbox_woken(void *ud)
{
    struct inbox *in = ud;

    for (int i = 0; i < INBOX_TURN; i++) {
        if (!in->taken && !inbox_take(in))
            return;
        inbox_run_first(in);
    }
    loop_waker_wake(in->waker); /* there may be more */
}

int inbox_new(struct loop *l, struct inbox **ret_inbox)
{
    struct inbox *in = calloc(1, sizeof *in);
    int rc;

    if (!in)
        return ERR_NOMEM;
    atomic_init(&in->posted, NULL);
    rc = loop_waker_new(l, inbox_woken, in, &in->waker);
    if (rc < 0) {
        free(in);
        return rc;
    }
    *ret_inbox = in;
    return 0;
}

void inbox_post(struct inbox *in, struct inbox_item *item, void (*run)(void *ud), void *ud)
{
    struct inbox_item *last = atomic_load_explicit(&in->posted, memory_order_relaxed);

    CHECK(!item->posted);
    *item = (struct inbox_item){.run = run, .ud = ud, .posted = true};
    do
        item->next = last;
    while (!atomic_compare_exchange_weak_explicit(&in->posted, &last, item, memory_order_release,
                                                  memory_order_relaxed));
    /* Whoever found it empty wakes; until the loop takes the list, nobody else needs to. */
    if (!last)
        loop_waker_wake(in->waker);
}

void inbox_drain(struct inbox *in)
{
    while (in->taken || inbox_take(in))
        inbox_run_first(in);
}

void inbox_free(struct inbox *in)
{
    if (!in)
        return;
    CHECK(!in->taken && !atomic_load_explicit(&in->posted, memory_order_relaxed));
    loop_waker_free(in->waker);
    free(in);
}
