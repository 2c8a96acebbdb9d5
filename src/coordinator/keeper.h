/* SPDX-License-Identifier: Apache-2.0 */
/* Keeps what the registry knows of providers' keys over restarts: loads every record at start, and
 * writes what has changed, at most once a second and off the path of any request. The store has the
 * last word on a distrust: once saved it is final, until the operator forgives the key. Loop's
 * thread. */
#ifndef DARKBLOOM_COORDINATOR_KEEPER_H
#define DARKBLOOM_COORDINATOR_KEEPER_H

#include "base/err.h"

struct coord;
struct keeper;

/* The registry is there. */
struct keeper *keeper_new(struct coord *c); /* NULL: out of memory */
/* The store is open and no provider has connected yet. 0, ERR_STORE. A row that cannot be read is
 * logged, and its key begins anew, distrusted if it was. */
int keeper_load(struct keeper *k, struct err *ret_err);
/* A record has changed (the registry's hook). */
void keeper_dirty(struct keeper *k);
/* Submit what is left; before the store is closed, which runs it. */
void keeper_flush(struct keeper *k);
void keeper_free(struct keeper *k); /* NULL is allowed */

#endif
