/* SPDX-License-Identifier: Apache-2.0 */
/* A record as text, for the store: compact JSON, times of the wall clock, so that a restarted
 * coordinator goes on where it was. Numbers that no coordinator writes (a damaged row, a clock that
 * was set back) are bounded when they are read: a back-off that is loaded lasts at most
 * BREAKER_BACKOFF_MAX_US from now. */
#ifndef DARKBLOOM_COORDINATOR_REGISTRY_RECORD_SAVED_H
#define DARKBLOOM_COORDINATOR_REGISTRY_RECORD_SAVED_H

#include "base/clock.h"
#include "coordinator/registry/record.h"
#include "proto/shape.h"

/* Append the record's state (its key and its distrust are columns of their own). 0, ERR_LIMIT or
 * ERR_NOMEM. */
int record_write(const struct record *r, const struct clock *clock, struct buf *out);

/* Set a record that record_init has made from such a text. 0 or a negative code; then it is as
 * record_init made it. */
int record_read(struct record *r, const struct clock *clock, struct proto_scratch *scratch,
                struct str text);

#endif
