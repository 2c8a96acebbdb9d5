/* SPDX-License-Identifier: Apache-2.0 */
/* The two questions of a sweep, each answered by one search in the index of open holds: ?1 is the
 * boot's id, ?2 its monotonic clock. Internal to ledger/ and its tests. */
#ifndef DARKBLOOM_LEDGER_SWEEP_H
#define DARKBLOOM_LEDGER_SWEEP_H

extern const char sweep_other_boots_sql[];
extern const char sweep_expired_sql[];

#endif
