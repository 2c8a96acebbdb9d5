/* SPDX-License-Identifier: Apache-2.0 */
/* Many providers in one process on one loop: the product's own link, challenges, signatures and
 * sealing (provider/provider.h), each with a key of its own, over an engine by script. */
#ifndef DARKBLOOM_BENCH_FLEET_H
#define DARKBLOOM_BENCH_FLEET_H

#include "provider/provider.h"

struct fleet;

/* What a member's engine does with a request. */
struct fleet_script {
    int64_t slots;    /* requests at once, as announced; more are refused as no_capacity */
    int chunks;       /* of one token each */
    int64_t first_us; /* until the first */
    int64_t pace_us;  /* between two; 0: all at once */
    bool fails;       /* the engine fails each request after first_us */
};

/* `dir` holds the keys; they are made where they are not there, so that who comes back is known. */
int fleet_new(struct loop *l, uint16_t port, const char *dir, int members, struct fleet **ret_fleet,
              struct err *ret_err);
void fleet_free(struct fleet *f);

/* Make member `i` (0-based) connect. Its script may be changed by a later start. 0 or an error. */
int fleet_start(struct fleet *f, int i, const struct fleet_script *script, struct err *ret_err);
/* It vanishes: the connection is closed, what ran is lost. Nothing where it is not started. */
void fleet_stop(struct fleet *f, int i);
/* It is stopped as a program is: it says so, finishes what runs for a second at most, closes. */
void fleet_leave(struct fleet *f, int i);
/* Started, and neither stopped nor gone after leaving. */
bool fleet_is_started(const struct fleet *f, int i);

/* Requests that reached member `i`'s engine since fleet_new. */
int64_t fleet_dispatched(const struct fleet *f, int i);
/* Requests that run at all members. */
int64_t fleet_running(const struct fleet *f);

#endif
