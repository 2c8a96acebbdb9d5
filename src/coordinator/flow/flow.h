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
 *  - once content has left, the request is never retried;
 *  - the consumer gets exactly one end: a response, an error, or the error event of its stream.
 *
 * Everything runs on the loop's thread. */
#ifndef DARKBLOOM_COORDINATOR_FLOW_FLOW_H
#define DARKBLOOM_COORDINATOR_FLOW_FLOW_H

#include "coordinator/admit/identify.h"
#include "coordinator/coord.h"
#include "coordinator/registry/registry.h"
#include "coordinator/reply/answer.h"
#include "coordinator/reply/reply.h"
#include "ledger/ledger.h"
#include "net/http1.h"
#include "proto/chat.h"
#include "seal/box.h"

enum flow_stage {
    STAGE_ENTER,
    STAGE_AUTH,
    STAGE_RESERVE,
    STAGE_ROUTE,
    STAGE_SEAL,
    STAGE_DISPATCH,
    STAGE_RELAY,
    STAGE_SETTLE,
    STAGE_DONE,
    STAGE_COUNT
};

enum flow_verdict {
    FLOW_NEXT, /* go on with the stage that follows */
    FLOW_WAIT, /* an event will resume the request */
    FLOW_FAIL, /* request.error says why: settle */
};

enum {
    FLOW_MAX_ATTEMPTS = 3,
    FLOW_REGION_MAX_BYTES = 32 << 20,
    FLOW_CONSUMER_QUEUE_BYTES = 1 << 20,
    FLOW_EARLY_MAX_BYTES = 16 << 20
};

enum flow_hold { HOLD_NONE, HOLD_SUBMITTED, HOLD_COMMITTED, HOLD_REFUSED };

/* Times of one request, monotonic µs; 0: not reached. */
struct flow_times {
    int64_t received, entered;                           /* last byte read, parsed */
    int64_t reserve_start, reserve_end;                  /* submit, commit */
    int64_t route_us, queue_us, encrypt_us, dispatch_us; /* sums over attempts */
    int64_t queued_at, sent_at, first_chunk;
};

struct request {
    struct coord *coord;
    struct http_exchange *x; /* NULL once the response is complete or the consumer is gone */
    struct list_node link;   /* the coordinator's live requests */
    enum flow_stage stage;
    bool running; /* inside flow_run: events only note what happened */
    struct arena region;
    char id[RAND_UUID_BYTES];
    char trace_id[ANSWER_TRACE_ID_MAX_BYTES + 1]; /* X-Request-Id, echoed */
    struct str body;
    struct chat_request chat;
    struct api_error error; /* id != API_OK: what to tell the consumer */
    enum ledger_outcome outcome;

    /* auth */
    struct identify identify;
    struct account *account;

    /* reserve */
    struct model *model;
    enum trust_level min_trust;
    int64_t prompt_ceiling, output_limit; /* tokens */
    int64_t silent_tokens;                /* of the answer, that may be in none of its text */
    struct ledger_reserve reserve;
    enum flow_hold hold;

    /* route and dispatch */
    struct list_node waiting; /* the model's queue */
    struct loop_timer queue_timer, attempt_timer, deadline_timer, head_timer;
    struct attempt attempts[FLOW_MAX_ATTEMPTS];
    uint64_t tried[FLOW_MAX_ATTEMPTS]; /* serials of providers */
    size_t n_attempts;
    struct attempt *live; /* the attempt that runs, or NULL */
    struct offer *chosen;
    struct box_session *session;
    struct buf frame; /* the sealed inference_request */
    bool accepted;

    /* what the receipt says of the provider: copied, it may be gone by then */
    char provider_id[RAND_UUID_BYTES];
    char provider_account[ACCOUNT_MAX_BYTES + 1];
    char wire_id[RAND_UUID_BYTES];
    enum trust_level trust;
    bool provider_attested, provider_secure_enclave;
    struct str provider_chip, provider_machine, provider_key; /* in the region */

    /* relay */
    const struct reply_ops *reply;
    struct reply_state reply_state;
    struct buf plain;                       /* the chunk just opened */
    struct chunk_shape shape;               /* of this stream's chunks */
    struct buf early;                       /* opened chunks that wait for the hold's commit */
    bool early_has_text;                    /* or a finish: it leaves with the commit */
    bool head_sent;                         /* the response head has left */
    bool content_sent;                      /* content was handed to the reply: no retry any more */
    bool provider_done;                     /* inference_complete arrived */
    int64_t relayed_text_bytes;             /* handed to the reply */
    int64_t claimed_tokens;                 /* the provider's word for them */
    int64_t relayed_tokens;                 /* what is believed of it */
    bool chunks_uncounted;                  /* an old peer, which does not say a chunk's tokens */
    int64_t prompt_tokens;                  /* best knowledge: reported, or bytes / 4 */
    int64_t usage_completion;               /* as reported at the end */
    struct str se_signature, response_hash; /* in the region */

    /* settle */
    struct ledger_settle settle;
    bool settle_pending; /* at the store, or waiting to be sent there again */
    struct loop_timer settle_timer;
    int64_t settle_wait_ms; /* before the next try, once one has failed */
    int64_t cost_micro_usd;
    int64_t checkpointed_tokens;
    uint64_t checkpoint_tick; /* of the last row, counted from 1 */

    struct flow_times times;
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

/* Go on from the present stage (called by events). */
void flow_resume(struct request *r);
/* Move to another stage than the following one, by a legal transition, and go on. */
void flow_move(struct request *r, enum flow_stage next);
/* Fail or cancel from any stage: request.error and outcome are set by the caller. */
void flow_fail(struct request *r);
/* The consumer is gone or cannot take its stream: no more output, settle what was delivered. */
void flow_cancel(struct request *r, enum ledger_outcome outcome);
/* Free the request if nothing refers to it any more. */
void flow_release(struct request *r);
/* Wipe and free what held its text, once it was answered. */
void flow_drop_text(struct request *r);

/* Cut every live request (the coordinator is stopping). */
void flow_stop_all(struct coord *c);

/* Every 250 ms: checkpoint delivered counts, cut stalled consumers (tick.c). */
void flow_tick(struct coord *c);

/* Tokens the consumer's socket has taken, never more than were asked for; for an answer that is not
 * streamed all or nothing. */
int64_t flow_delivered(const struct request *r);
/* Tokens of the prompt that are charged for: reported, or guessed; never more than were held. */
int64_t flow_prompt_tokens(const struct request *r);

/* --- between stages --- */

/* dispatch.c: the chosen provider failed inside a stage: back to route without it, or fail with
 * r->error after the last attempt. Returns what the stage returns. */
enum flow_verdict flow_route_again(struct request *r);
/* dispatch.c: the live attempt failed, r->error says how: another provider is tried, or after the
 * first content the request ends. `cancel` tells the provider. */
void flow_attempt_failed(struct request *r, const char *why, bool cancel);
/* dispatch.c: end the live attempt; `cancel` tells the provider. Wipes the session. */
void flow_attempt_end(struct request *r, bool cancel);
/* settle.c: a settle that waits to be tried again is given up; its hold expires. */
void flow_settle_give_up(struct request *r);
/* relay.c: from now on a stream without a token gets its head and comments after a while. */
void flow_watch_head(struct request *r);
/* relay.c: one chunk from the provider, already known to be of this attempt. */
void flow_chunk(struct request *r, const struct msg_inference_response_chunk *m);
/* relay.c: the hold is committed: let out what waited, unless it is a lone role. */
void flow_let_out(struct request *r);

#endif
