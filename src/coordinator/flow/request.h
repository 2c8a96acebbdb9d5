/* SPDX-License-Identifier: Apache-2.0 */
/* One request on its way: what each stage owns of it. The parts are named after their owners; a
 * stage writes only its own part, and later ones read. Two small state machines beside the stage
 * (request.c has their tables): the hold's, and the present attempt's. What the consumer has got is
 * the third, in reply/reply.h. */
#ifndef DARKBLOOM_COORDINATOR_FLOW_REQUEST_H
#define DARKBLOOM_COORDINATOR_FLOW_REQUEST_H

#include "coordinator/admit/identify.h"
#include "coordinator/admit/queue.h"
#include "coordinator/coord.h"
#include "coordinator/metrics.h"
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

enum {
    FLOW_MAX_ATTEMPTS = 3, /* of one request, before content */
    FLOW_MAX_LOST = 2,     /* of these, at providers that vanished with the prompt: it may be the
                              prompt that kills them */
    FLOW_REGION_MAX_BYTES = 32 << 20,
    FLOW_EARLY_MAX_BYTES = 16 << 20
};

/* reserve → settle: the money. */
enum hold_state {
    HOLD_NONE,
    HOLD_SUBMITTED, /* with the store; the request may go on, no content may leave */
    HOLD_COMMITTED, /* durable */
    HOLD_REFUSED,   /* nothing is held */
    HOLD_SETTLING,  /* the settle is with the store, or waits to be sent there again */
    HOLD_SETTLED    /* or given up: it expires */
};

struct request_hold {
    enum hold_state state;
    bool decided;                         /* the store has answered the reserve */
    int64_t prompt_ceiling, output_limit; /* tokens */
    int64_t silent_tokens;                /* of the answer, that may be in none of its text */
    struct ledger_reserve reserve;
    struct ledger_settle settle;
    struct loop_timer settle_timer;
    int64_t settle_wait_ms; /* before the next try, once one has failed */
    int64_t checkpointed_tokens;
    uint64_t checkpoint_tick; /* of the last row */
};

/* route → dispatch → relay: the try that runs. */
enum attempt_state {
    ATTEMPT_NONE,
    ATTEMPT_SENT,      /* handed to the provider's socket */
    ATTEMPT_ACCEPTED,  /* taken on, in words or by a chunk */
    ATTEMPT_ANSWERING, /* content has come */
    ATTEMPT_COMPLETED  /* the provider is done and was detached */
};

struct request_attempts {
    enum attempt_state state;
    struct attempt items[FLOW_MAX_ATTEMPTS];
    size_t n;                          /* attempts begun; items[n - 1] is the present one */
    size_t n_lost;                     /* providers that vanished with the prompt */
    uint64_t serial;                   /* of the present one's provider */
    uint64_t tried[FLOW_MAX_ATTEMPTS]; /* serials of providers that failed it */
    size_t n_tried;
    struct offer *chosen; /* by route, until it is attached */
    struct box_session *session;
    struct buf frame;                                 /* the sealed inference_request */
    char account[ACCOUNT_MAX_BYTES + 1];              /* where its provider earns */
    struct loop_timer timer;                          /* accept, first content, or between chunks */
    int64_t sent_us, first_content_us, last_chunk_us; /* mono, of the present one */
    /* of the present one's answer */
    struct chunk_shape shape;
    struct buf plain;         /* the chunk just opened */
    struct buf early;         /* opened chunks that wait for the hold's commit or for content */
    bool early_has_text;      /* it leaves with the commit */
    bool chunks_uncounted;    /* an old peer, which does not say a chunk's tokens */
    int64_t text_bytes;       /* relayed */
    int64_t claimed_tokens;   /* the provider's word for them */
    int64_t relayed_tokens;   /* what is believed of it */
    int64_t prompt_tokens;    /* reported; 0: not */
    int64_t usage_completion; /* as reported at the end */
    enum metrics_FINISH finish;
};

/* Monotonic µs; 0: not reached. */
struct request_times {
    int64_t received, entered;        /* last byte read, parsed */
    int64_t reserve_start, queued_at; /* submitted; found no slot */
    int64_t first_content;            /* handed to the reply */
    int64_t settle_start;             /* submitted */
    int64_t content_limit;            /* when it should have content, but for a long prompt */
    int64_t deadline;                 /* when the request ends, however far it is */
};

/* On the way to another loop: transfer.c, place.c. */
struct request_transfer {
    struct inbox_item item;
    struct loop_defer later;
    struct directory_row *row; /* of its model, held while it is leaving; NULL: it is not */
    unsigned to;
    bool placed; /* where to serve it was decided once */
    int moves;   /* of its own accord */
};

struct request {
    struct coord *coord;
    struct list_node link; /* the coordinator's live requests */
    enum flow_stage stage;
    bool running; /* inside flow_run: events only note what happened */
    struct arena region;
    char id[RAND_UUID_BYTES];
    char trace_id[ANSWER_TRACE_ID_MAX_BYTES + 1]; /* X-Request-Id, echoed */
    struct str body;
    struct chat_request chat;
    struct api_error error;      /* id != API_OK: what to tell the consumer */
    enum ledger_outcome outcome; /* how it ended, decided once */
    bool consumer_gone;          /* it hung up */
    struct request_times times;
    struct loop_timer deadline_timer, head_timer;

    struct identify identify;
    struct account *account;    /* auth */
    struct model *model;        /* reserve */
    enum trust_level min_trust; /* enter */
    struct request_hold hold;
    struct queue_ticket ticket; /* route: waits for a slot */
    struct request_attempts tries;
    struct request_transfer transfer;
    struct reply reply;
};

/* The table of request.c holds; a move that it does not have aborts. */
void hold_move(struct request *r, enum hold_state next);
void attempt_move(struct request *r, enum attempt_state next);

/* The attempt that a provider still works at, or NULL. */
struct attempt *request_live(struct request *r);

/* The value of a header that may stand once; .p NULL: absent. 0, or ERR_DENIED with r->error. */
int request_header(struct request *r, const char *name, struct str *ret_value);

/* Tokens the consumer's socket has taken, never more than were asked for; for an answer that is not
 * streamed all or nothing. */
int64_t request_delivered(struct request *r);
/* Tokens of the prompt that are charged for: reported, or guessed at four bytes each; never more
 * than were held. */
int64_t request_prompt_tokens(const struct request *r);

/* Wipe and free what held its text, once it was answered. */
void request_drop_text(struct request *r);

#endif
