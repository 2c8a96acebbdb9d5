/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that run later on the loop's thread. */
#include "provider/post.h"

#include <stdlib.h>

struct post_item {
    struct post_item *next;
    void (*fn)(void *arg);
    void *arg;
};

struct post {
    struct loop *loop;
    struct loop_timer timer;
    struct post_item *first, **end;
};

/* Takes the whole queue first: what a call posts runs in the next turn, so that a chain of calls
 * cannot keep the loop from its sockets. */
static void post_run(void *ud)
{
    struct post *p = ud;
    struct post_item *item = p->first;

    p->first = NULL;
    p->end = &p->first;
    while (item) {
        struct post_item *next = item->next;

        item->fn(item->arg);
        free(item);
        item = next;
    }
}

static void post_add(void *ud, void (*fn)(void *arg), void *arg)
{
    struct post *p = ud;
    struct post_item *item = malloc(sizeof *item);

    /* The signer promised an answer and cannot take it back: without memory for a list node there
     * is no way on. */
    if (!item)
        abort();
    *item = (struct post_item){.fn = fn, .arg = arg};
    *p->end = item;
    p->end = &item->next;
    loop_timer_set(p->loop, &p->timer, 0, post_run, p);
}

int post_new(struct loop *l, struct post **ret_post)
{
    struct post *p = calloc(1, sizeof *p);

    if (!p)
        return ERR_NOMEM;
    p->loop = l;
    p->end = &p->first;
    *ret_post = p;
    return 0;
}

struct signer_post post_for_signer(struct post *p)
{
    return (struct signer_post){.post = post_add, .ud = p};
}

void post_free(struct post *p)
{
    if (!p)
        return;
    while (p->first)
        post_run(p);
    loop_timer_clear(p->loop, &p->timer);
    free(p);
}
