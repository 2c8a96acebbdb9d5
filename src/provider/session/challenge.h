/* SPDX-License-Identifier: Apache-2.0 */
/* Answers to attestation challenges (docs/internals/trust.md): two signatures, one over nonce
 * and timestamp, one over the canonical status, made by the asynchronous signer. Several may be on
 * their way; what was asked over a connection that has ended is not answered. */
#ifndef DARKBLOOM_PROVIDER_SESSION_CHALLENGE_H
#define DARKBLOOM_PROVIDER_SESSION_CHALLENGE_H

#include "identity/signer.h"
#include "provider/session/machine.h"

/* `answer` is valid during the call. */
typedef void challenge_answer_cb(void *ud, const struct provider_msg *answer);

struct challenges;

/* `machine` and `signer` are borrowed and outlive it. 0 or ERR_NOMEM. */
int challenges_new(const struct machine *machine, struct signer *signer,
                   challenge_answer_cb *on_answer, void *ud, struct challenges **ret_challenges);

/* Begin to answer. 0; ERR_BUSY: too many are unanswered; ERR_RANGE / ERR_MISSING: the challenge has
 * not the shape that the signer signs. */
int challenges_take(struct challenges *c, const struct msg_attestation_challenge *m);

/* Forget what is under way: its answers go nowhere. */
void challenges_drop(struct challenges *c);

/* The signer has been closed before, so that nothing is under way. NULL is allowed. */
void challenges_free(struct challenges *c);

#endif
