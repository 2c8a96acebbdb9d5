/* SPDX-License-Identifier: Apache-2.0 */
/* Whether this coordinator should get new work: what a load balancer asks. Loop's thread. */
#ifndef DARKBLOOM_COORDINATOR_API_READY_H
#define DARKBLOOM_COORDINATOR_API_READY_H

struct coord;
struct ready;

/* NULL: out of memory. The store may be opened later, but before anybody asks. */
struct ready *ready_new(struct coord *c);
/* After the store was closed: it may have a probe of ours. NULL is allowed. */
void ready_free(struct ready *r);

/* NULL: it should. Otherwise why not, as a stable code: "draining", "store_slow" (an empty read has
 * waited for 2 s) or "store_failed" (the last one failed). Asking sends the store a read, at most
 * one a second and one at a time, and does not wait for it: the answer is that of the read before.
 */
const char *ready_why_not(struct ready *r);

#endif
