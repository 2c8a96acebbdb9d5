/* SPDX-License-Identifier: Apache-2.0 */
/* The request path. A request goes through eight stages, one file and one function each:
 *
 *   enter     accept, parse, bound                            → auth
 *   auth      key → account, rate limit                       → reserve
 *   reserve   hold the price ceiling                          → route
 *   route     choose a provider, or wait in admit/'s queue    → seal
 *   seal      encrypt the body to the provider's key          → dispatch
 *   dispatch  hand it over; wait for accept and first token   → relay, or route again
 *   relay     chunks → consumer, counting what was delivered  → settle
 *   settle    charge what was delivered, release the rest, receipt → done
 *
 * A stage returns what comes next, or waits and is resumed by an event, or fails; a failure and a
 * cancel are transitions to settle, which every request passes. flow.c drives them from a table of
 * legal transitions.
 *
 * Invariants:
 *  - one hold a request, keyed by the request's id; every submitted hold gets exactly one settle;
 *  - at most one attempt is live; each attempt has a wire id of its own;
 *  - no content leaves before the hold is committed;
 *  - once the consumer has seen content, the request is never retried;
 *  - an attempt that delivered nothing costs nothing and counts against its provider;
 *  - the consumer gets exactly one end: a response, an error, or the error event of its stream.
 *
 * Everything runs on the loop's thread. */
#ifndef DARKBLOOM_COORDINATOR_FLOW_FLOW_H
#define DARKBLOOM_COORDINATOR_FLOW_FLOW_H

#include "coordinator/flow/request.h"

enum flow_verdict {
    FLOW_NEXT, /* go on with the stage that follows */
    FLOW_WAIT, /* an event will resume the request */
    FLOW_FAIL, /* request.error says why: settle */
};

/* The stages, in order. */
enum flow_verdict flow_enter(struct request *r);
enum flow_verdict flow_auth(struct request *r);
enum flow_verdict flow_reserve(struct request *r);
enum flow_verdict flow_route(struct request *r);
enum flow_verdict flow_seal(struct request *r);
enum flow_verdict flow_dispatch(struct request *r);
enum flow_verdict flow_relay(struct request *r);
enum flow_verdict flow_settle(struct request *r);

/* --- flow.c --- */

/* Take on a POST /v1/chat/completions; it ends by itself. */
void flow_start(struct coord *c, struct http_exchange *x);

/* Its deadline and the limit to its first content, from its receipt: the coordinator's or, once the
 * account is known, the account's own (FR-40). */
void flow_set_limits(struct request *r);
/* The timer of its deadline, on the loop where it is now. */
void flow_arm_deadline(struct request *r);

/* Go on from the present stage (called by events). */
void flow_resume(struct request *r);
/* Move to another stage than the following one, by a legal transition, and go on. */
void flow_move(struct request *r, enum flow_stage next);
/* End from any stage with r->error for the consumer; `outcome` says how, where content was
 * delivered. A request that is being settled is left alone. */
void flow_fail(struct request *r, enum ledger_outcome outcome);
/* Free the request if nothing refers to it any more. */
void flow_release(struct request *r);

/* Cut every live request (the coordinator is stopping). */
void flow_stop_all(struct coord *c);

/* Every 250 ms: checkpoint delivered counts, cut stalled consumers (tick.c). */
void flow_tick(struct coord *c);

/* Cut one that is not being settled (the coordinator is stopping). */
void flow_stop(struct request *r);

/* --- other loops --- */

/* transfer.c: whether the request may change its loop now; do so, at the end of the iteration (it
 * stands still until then, and goes on there in the stage it is in); whether it is about to, and
 * think better of it (it ends here). */
bool flow_may_transfer(const struct request *r);
void flow_transfer(struct request *r, unsigned to);
bool flow_is_leaving(const struct request *r);
void flow_transfer_cancel(struct request *r);

/* place.c. Those that begin a transfer return true where they did. */
/* Where it is served best, asked once, before anything is held. */
bool flow_place(struct request *r);
/* The same after no slot was found here. */
bool flow_place_again(struct request *r);
/* It waits: go where a slot is free now. */
bool flow_look_elsewhere(struct request *r);
/* Whether other loops have a slot for it now, or may have one. */
bool flow_is_free_elsewhere(const struct request *r);
bool flow_may_be_served_elsewhere(const struct request *r);
/* A slot at `level` is free here, nobody here takes it, and somebody waits elsewhere. */
void flow_pull(struct coord *c, struct model *m, enum trust_level level);
/* Tokens that the prompt surely has. */
int64_t flow_prompt_tokens_least(const struct request *r);

/* --- between stages --- */

/* dispatch.c: detach the present attempt, recorded as `result`, and wipe its session; `cancel`
 * tells the provider. Without a live attempt only what it left is wiped. */
void flow_attempt_end(struct request *r, enum metrics_ATTEMPT result, bool cancel);
/* dispatch.c: the present attempt failed as r->error says, recorded as `result`: another provider
 * is tried while the consumer has seen nothing and attempts are left, otherwise the request ends.
 * `why`: a code for the log; `cancel` tells the provider. */
void flow_attempt_failed(struct request *r, enum metrics_ATTEMPT result, const char *why,
                         bool cancel);
/* dispatch.c: the present attempt has brought content; from now on its chunks may not pause long.
 */
void flow_note_content(struct request *r);
/* relay.c: from now on a stream without content gets its head and comments after a while. */
void flow_watch_head(struct request *r);
/* relay.c: one chunk from the provider, already known to be of the live attempt. */
void flow_chunk(struct request *r, const struct msg_inference_response_chunk *m);
/* relay.c: the hold is committed: let out what waited, unless it is a lone role. */
void flow_let_out(struct request *r);
/* settle.c: a settle that waits to be tried again is given up; its hold expires. */
void flow_settle_give_up(struct request *r);

/* --- record.c: what is counted, and where the time went --- */

/* How a result counts for the provider. */
enum attempt_end record_end_of(enum metrics_ATTEMPT result);
void record_attempt(struct request *r, enum metrics_ATTEMPT result);
void record_queue_left(struct request *r); /* for a provider */
void record_first_content(struct request *r);
void record_reserved(struct request *r); /* the store has answered the reserve */
void record_clamped(struct request *r);  /* the bill's tokens are known, before they are charged */
void record_settled(struct request *r);
void record_end(struct request *r); /* once a request */

#endif
