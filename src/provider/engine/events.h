/* SPDX-License-Identifier: Apache-2.0 */
/* From the scheduler's threads to the loop: a bounded ring of events with their text inside, so
 * that nothing is allocated per token. Several writers, one reader; the events of one tag stay in
 * order. When the ring is full a writer waits: generation stands still until the loop has drained
 * it, nothing is dropped. */
#ifndef DARKBLOOM_PROVIDER_ENGINE_EVENTS_H
#define DARKBLOOM_PROVIDER_ENGINE_EVENTS_H

#include <pthread.h>

#include "provider/engine/engine_port.h"

enum { EVENTS_MAX = 2048, EVENT_TEXT_BYTES = 208 };

struct event_slot {
    struct engine_event event; /* text.p points into `text` */
    char text[EVENT_TEXT_BYTES];
};

struct events {
    pthread_mutex_t lock;
    pthread_cond_t room;
    struct event_slot *slots;
    size_t first, n;
    bool abandoned;        /* the reader is gone: writes vanish */
    struct event_slot out; /* what the reader holds */
};

int events_init(struct events *e);
void events_free(struct events *e);

/* Writer. Longer texts take several events; the tokens count with the first. */
void events_put(struct events *e, const struct engine_event *event);
/* Reader: the next event; its text lives until the next call. */
bool events_take(struct events *e, struct engine_event *ret_event);
/* Reader: let waiting writers go for good. */
void events_abandon(struct events *e);

#endif
