/* SPDX-License-Identifier: Apache-2.0 */
/* The requests that the engine has or is to get, as the daemon knows them: how far each is, and
 * what it is known by should the engine end. Belongs to the loop's thread. */
#ifndef DARKBLOOM_PROVIDER_MODEL_TICKETS_H
#define DARKBLOOM_PROVIDER_MODEL_TICKETS_H

#include "base/buf.h"
#include "base/list.h"
#include "base/map.h"
#include "provider/model/suspects.h"

/* Cancelled requests that the engine may still be preparing: so many are remembered, for so long.
 */
enum { TICKETS_CANCELLED_MAX = 64, TICKETS_CANCELLED_MS = 10000 };

enum ticket_stage {
    TICKET_HELD,     /* waits in the daemon */
    TICKET_SENT,     /* the engine prepares it, or will */
    TICKET_ADMITTED, /* its tokens are known */
    TICKET_SPEAKING, /* it has shown text */
    TICKET_LOST      /* the engine ended, or never got it: to be failed with `code` */
};

struct ticket {
    struct list_node link; /* held, sent or lost, each in its order */
    uint64_t tag;
    enum ticket_stage stage;
    bool told;      /* HELD, for a load: it has been taken on, although its tokens are not known */
    bool suspect;   /* to be run alone until it shows text */
    bool cancelled; /* SENT: nobody waits for it, but the engine may be at work on it */
    int64_t cancelled_us;
    int code;
    unsigned char hash[SUSPECT_HASH_BYTES];
    struct buf body; /* HELD */
};

struct tickets {
    struct list_node held, sent, lost;
    struct map by_tag; /* without cancelled and lost ones */
    size_t n_held, n_sent, n_cancelled;
};

void tickets_init(struct tickets *ts);
void tickets_free(struct tickets *ts);

/* A new one on the list of its stage, with a copy of `body` where it is held. NULL: no memory, or
 * the tag is in use. */
struct ticket *tickets_add(struct tickets *ts, uint64_t tag, enum ticket_stage stage,
                           const unsigned char hash[static SUSPECT_HASH_BYTES], struct str body);
/* The one of that tag that somebody waits for, or NULL. */
struct ticket *tickets_find(const struct tickets *ts, uint64_t tag);
/* The first that is held, or lost, or NULL. */
struct ticket *tickets_first_held(const struct tickets *ts);
struct ticket *tickets_first_lost(const struct tickets *ts);

/* A held one was sent: its body is wiped. */
void tickets_sent(struct tickets *ts, struct ticket *t);
/* Nobody waits for it any more. One that the engine may be preparing stays to be blamed; any other
 * is freed. */
void tickets_cancel(struct tickets *ts, struct ticket *t, int64_t now_us);
/* Free those that were cancelled before `us`: they have been prepared by now, or never will be. */
void tickets_forget_cancelled(struct tickets *ts, int64_t us);
/* Requests that somebody waits for. */
size_t tickets_in_flight(const struct tickets *ts);
/* The engine has prepared what `tag` stands for, and so, in order of sending, what came before: of
 * those the cancelled are freed. */
void tickets_prepared(struct tickets *ts, uint64_t tag);
/* All held and sent ones are lost: sent ones with `code`, held ones with `held_code`. */
void tickets_lose(struct tickets *ts, int code, int held_code);
/* Free one. */
void tickets_drop(struct tickets *ts, struct ticket *t);

/* Whether a suspect is in the engine that has not shown text. */
bool tickets_one_runs_alone(const struct tickets *ts);

/* The engine ended by what it worked on. Who can have caused it: those without text; a single one
 * is refused from now on, as is one that was there alone; several are run alone next time. Returns
 * how many are refused or suspected now. */
size_t tickets_blame(const struct tickets *ts, struct suspects *suspects);

#endif
