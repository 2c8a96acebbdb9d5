/* SPDX-License-Identifier: Apache-2.0 */
#include "provider/engine/events.h"

#include <sodium.h>
#include <stdlib.h>

int events_init(struct events *e)
{
    *e = (struct events){.slots = calloc(EVENTS_MAX, sizeof *e->slots)};
    if (!e->slots)
        return ERR_NOMEM;
    pthread_mutex_init(&e->lock, NULL);
    pthread_cond_init(&e->room, NULL);
    return 0;
}

void events_free(struct events *e)
{
    if (!e->slots)
        return;
    sodium_memzero(e->slots, EVENTS_MAX * sizeof *e->slots);
    sodium_memzero(&e->out, sizeof e->out);
    free(e->slots);
    e->slots = NULL;
    pthread_mutex_destroy(&e->lock);
    pthread_cond_destroy(&e->room);
}

static void events_put_one(struct events *e, const struct engine_event *event, struct str text)
{
    struct event_slot *slot;

    pthread_mutex_lock(&e->lock);
    while (e->n == EVENTS_MAX && !e->abandoned)
        pthread_cond_wait(&e->room, &e->lock);
    if (!e->abandoned) {
        slot = &e->slots[(e->first + e->n++) % EVENTS_MAX];
        slot->event = *event;
        if (text.n > 0)
            memcpy(slot->text, text.p, text.n);
        slot->event.text = (struct str){slot->text, text.n};
    }
    pthread_mutex_unlock(&e->lock);
}

/* Bytes of `text` that fit one event without splitting a character. */
static size_t events_fitting(struct str text)
{
    size_t n = text.n < EVENT_TEXT_BYTES ? text.n : EVENT_TEXT_BYTES;

    while (n < text.n && n > 0 && ((unsigned char)text.p[n] & 0xC0) == 0x80)
        n--;
    return n;
}

void events_put(struct events *e, const struct engine_event *event)
{
    struct engine_event part = *event;
    struct str rest = event->text;

    do {
        size_t n = events_fitting(rest);

        events_put_one(e, &part, (struct str){rest.p, n});
        part.tokens = 0;
        rest = (struct str){rest.p + n, rest.n - n};
    } while (rest.n > 0);
}

bool events_take(struct events *e, struct engine_event *ret_event)
{
    bool found = false;

    pthread_mutex_lock(&e->lock);
    if (e->n > 0) {
        struct event_slot *slot = &e->slots[e->first];

        e->out = *slot;
        sodium_memzero(slot->text, sizeof slot->text);
        e->first = (e->first + 1) % EVENTS_MAX;
        e->n--;
        pthread_cond_signal(&e->room);
        found = true;
    }
    pthread_mutex_unlock(&e->lock);
    if (found) {
        *ret_event = e->out.event;
        ret_event->text.p = e->out.text;
    }
    return found;
}

void events_abandon(struct events *e)
{
    pthread_mutex_lock(&e->lock);
    e->abandoned = true;
    pthread_cond_broadcast(&e->room);
    pthread_mutex_unlock(&e->lock);
}
