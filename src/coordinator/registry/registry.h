/* SPDX-License-Identifier: Apache-2.0 */
/* Who can serve what, right now: connected providers, their trust, the models they offer, and for
 * each model its routable offers in order of expected cost. Belongs to the loop's thread.
 *
 * A provider's life: connected → registered → (challenge passed) trusted → gone. Trust belongs to
 * the signing key proven on this socket; untrusted is sticky until the socket closes.
 */
#ifndef DARKBLOOM_COORDINATOR_REGISTRY_REGISTRY_H
#define DARKBLOOM_COORDINATOR_REGISTRY_REGISTRY_H

#include "attest/trust.h"
#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "base/rand.h"
#include "coordinator/memory.h"
#include "coordinator/registry/gate.h"
#include "coordinator/registry/heap.h"
#include "coordinator/registry/rates.h"
#include "coordinator/settings.h"
#include "ledger/price.h"
#include "net/http1.h"
#include "proto/provider_msg.h"

struct box_session;
struct box_slab;
struct directory_row;
struct metrics;
struct model_pull;
struct registry;
struct registry_group;
struct provider;
struct offer;

enum { TRUST_LEVELS = TRUST_HARDWARE + 1 };

/* Tokens of a chat template that are in no byte of the messages, where a provider does not say. */
enum { TEMPLATE_OVERHEAD_TOKENS = 256 };

/* A model that the settings name or a provider has announced since start. */
struct model {
    struct registry *reg;
    char id[MODEL_ID_MAX_BYTES + 1];
    char display_name[MODEL_ID_MAX_BYTES + 1];
    struct price price;
    struct offer_heap heaps[TRUST_LEVELS];
    bool configured;                     /* in the settings: never forgotten */
    size_t n_requests;                   /* that hold a pointer to it */
    unsigned metric;                     /* its number among the metrics' models; 0: "other" */
    struct list_node offers;             /* of providers that may be asked, busy or not */
    size_t n_listed[TRUST_LEVELS];       /* of these, by trust */
    size_t n_attested;                   /* of these */
    size_t n_servable[TRUST_LEVELS];     /* of these, that could serve, busy or not */
    size_t n_unbounded;                  /* of these, without a known context */
    int64_t max_context;                 /* largest of these; see model_context */
    int64_t max_overhead;                /* likewise; see model_overhead */
    struct rates rates;                  /* of all its providers: the prior of one that is new */
    double mean_prompt, mean_completion; /* tokens of its requests, for ranking */
    /* requests that found no slot, by the trust they demand: coordinator/admit/queue.h */
    struct list_node waiting[TRUST_LEVELS];
    size_t n_waiting, n_waiting_at[TRUST_LEVELS];
    uint64_t n_ever_waited;
    uint64_t dice;             /* for choosing among equals */
    struct directory_row *row; /* what other loops see of it; NULL: there are none */
    struct model_pull *pull;   /* flow/place.c: asks them for who waits; freed with the model */
};

/* How an attempt ended, for the record of its provider. */
enum attempt_end {
    ATTEMPT_SERVED,       /* content was delivered */
    ATTEMPT_FAULT,        /* the provider's fault: counts against it */
    ATTEMPT_REFUSED_LOAD, /* it has no room now; says nothing of its health (FR-7) */
    ATTEMPT_BLAMELESS     /* the request's fault, cancelled, cut by our own deadline or stop */
};

struct attempt_result {
    enum attempt_end end;
    /* measured, for its rates; 0: not known */
    int64_t ttft_us; /* hand-over to first content */
    int64_t prompt_tokens, completion_tokens;
    int64_t decode_us; /* first content to the end */
};

/* What happens to a request at a provider. Implemented by flow/dispatch.c; called on the loop's
 * thread. In accepted, chunk, completed and failed the attempt is still attached: whoever was
 * called judges it and detaches it. In lost the registry has forgotten it. */
struct attempt;
struct attempt_ops {
    void (*accepted)(struct attempt *a, const struct msg_inference_accepted *m);
    void (*chunk)(struct attempt *a, const struct msg_inference_response_chunk *m);
    void (*completed)(struct attempt *a, const struct msg_inference_complete *m);
    void (*failed)(struct attempt *a, const struct msg_inference_error *m);
    /* The provider is gone or no longer trusted: `why`, for the consumer. */
    void (*lost)(struct attempt *a, const char *why);
};

/* One try of a request at one provider, under a wire id of its own. Lives in the request. */
struct attempt {
    char wire_id[RAND_UUID_BYTES];
    struct provider *provider; /* NULL when not attached */
    struct offer *offer;
    const struct attempt_ops *ops;
    struct list_node link; /* the provider's attempts */
    size_t number;         /* place among its request's attempts */
    /* the registry's */
    bool probe;           /* tries a provider out after failures */
    int64_t streams;      /* that ran there when it began, itself included */
    int64_t predicted_us; /* expected time to its end, when it was handed over (FR-3) */
};

enum {
    REGISTRY_SESSION_SLOTS = 16384
}; /* of the slab: running requests, and sessions made ahead */

struct registry_hooks {
    /* A slot that a request for this model could take is free: call one that waits. Returns whether
     * one has left the queue; then the next model of the same provider is asked (R8). */
    bool (*capacity)(void *ud, struct model *m);
    /* A record has changed and waits to be saved: registry_next_record. May be NULL. */
    void (*records)(void *ud);
    /* An offer at `level` is free, nobody who waits here has taken it, and somebody waits for the
     * model on another loop. NULL where there is no group. */
    void (*room)(void *ud, struct model *m, enum trust_level level);
    void *ud;
};

struct registry_config {
    struct loop *loop;
    const struct log *log;
    struct rand_src rand;
    const struct settings *settings;
    struct box_slab *slab;             /* sessions with providers; outlives the registry */
    struct box_port *session_port;     /* who makes them ahead of need: seal/maker.h; outlives the
                                        * registry. NULL: the loop does */
    struct metrics *metrics;           /* coordinator/metrics.h; NULL: nothing is recorded */
    const struct memory_share *memory; /* this loop's; outlives the registry; NULL: unbounded */
    struct registry_hooks hooks;
    struct registry_group *group; /* of all loops: group.h; outlives the registry. NULL: one loop */
    unsigned number;              /* of this loop in the group */
};

int registry_new(const struct registry_config *config, struct registry **ret_registry);
/* Closes every provider with 1001; attempts are reported lost. */
void registry_close_all(struct registry *reg);
/* The same, and frees it. What it says leaves with the loop's next iteration, if there is one. */
void registry_free(struct registry *reg);

/* Answer GET /ws/provider: upgrade and wait for `register`. 0 (also when the connection failed), or
 * ERR_NOMEM: it is the caller's to answer. */
int registry_accept(struct registry *reg, struct http_exchange *x);

/* From now on these settings count: models and their prices, the trust that routing demands, times.
 * What runs goes on as it is. 0, or ERR_NOMEM: not every model of theirs is known. */
int registry_take_settings(struct registry *reg, const struct settings *settings);

/* Providers by state, kept as they change. `routable`: a request could be sent to it, now or once
 * it has room. */
struct registry_counts {
    size_t connected, trusted, routable;
};
struct registry_counts registry_counts(const struct registry *reg);
size_t registry_provider_count(const struct registry *reg); /* connected */
/* The same of all loops. */
size_t registry_provider_count_everywhere(const struct registry *reg);

/* What was done since start, for tests of cost and for the curious. */
struct registry_work {
    uint64_t index_moves;     /* an offer's place in an index was looked for anew */
    uint64_t idle_heartbeats; /* changed nothing */
    uint64_t late_chunks;     /* for requests that had ended (FR-13) */
    uint64_t verified;        /* signatures, in turn or at once */
    uint64_t verify_deferred; /* that had to wait for a later turn of the loop */
};
struct registry_work registry_work(const struct registry *reg);

/* --- models --- */

/* A model that this loop or another one knows; NULL: nobody does. */
struct model *registry_model(struct registry *reg, struct str id);
struct model *registry_model_next(const struct registry *reg, size_t *cursor);

/* How many wait has changed, of those who demand this level (admit/queue.c). */
void model_publish_waiting(const struct model *m, enum trust_level demanded);

/* Tokens that no request for the model can exceed, prompt or answer, and those that a template may
 * add to the prompt, wherever it runs now. INT64_MAX: not known. */
int64_t model_context(const struct model *m);
int64_t model_overhead(const struct model *m);

/* What /v1/models shows of a model; false when no provider could serve it. */
struct model_summary {
    size_t providers, attested;
    enum trust_level trust; /* the highest */
    struct str model_type, quantization, numerics;
    int64_t context_length;
};
bool registry_model_summary(const struct model *m, struct model_summary *ret_summary);

/* --- routing --- */

struct route_ask {
    enum trust_level min_trust;
    /* Tokens that surely are needed: an offer whose context is known to be smaller is left out
     * (FR-12). 0: any. */
    int64_t tokens;
    /* Serials of providers to leave out (one that is gone may have left its address to another). */
    const uint64_t *exclude;
    size_t n_exclude;
};

/* A routable offer of `m` at the demanded trust or above with little expected cost: one at random
 * of the cheapest, of which eight at most that cost 5 % and 100 ms more than the very cheapest, so
 * that equals share and the new are measured (FR-5). NULL: none now. Looks at O(log n) offers,
 * however many there are and however many of them fail (FR-8, FR-9). */
struct offer *registry_choose(struct model *m, const struct route_ask *ask);

/* Whether registry_choose would give one. */
bool registry_has_free(const struct model *m, const struct route_ask *ask);

/* Whether a provider of `m` outside `exclude` is connected and well that registry_choose might give
 * once it has room. */
bool registry_may_serve(const struct model *m, const struct route_ask *ask);

/* A session under a fresh key pair with the offer's provider, for one attempt; the caller closes
 * it. The next ones are made on a thread of their own, or after this iteration's answers have left,
 * so that a request seldom waits for it. ERR_BUSY, ERR_CRYPTO: see box_session_open. */
int registry_session(struct offer *o, struct box_session **ret_session);

/* Take a slot: the attempt counts against the provider until detached. 0 or ERR_NOMEM. */
int registry_attach(struct attempt *a, struct offer *o);
/* Record how it ended, then give the slot back, so that what waits for a slot finds the provider
 * judged; `cancel` also tells the provider to stop (only while it runs there). */
void registry_detach(struct attempt *a, const struct attempt_result *result, bool cancel);
/* It has shown its first content. Once for each attempt. */
void registry_content(struct attempt *a);

/* --- what flow needs to know of a provider --- */

struct provider_view {
    const char *id;         /* of this connection */
    const char *account;    /* where it earns */
    const char *x25519_b64; /* its session key */
    enum trust_level trust;
    bool attested, secure_enclave;                    /* as its signed statement says */
    struct str chip_name, machine_model, signing_key; /* signing_key .p NULL: none */
    int64_t context_length;                           /* of this offer, 0: unknown */
};
uint64_t offer_provider_serial(const struct offer *o); /* of the connection, never used again */
unsigned registry_loop_of(uint64_t serial);            /* the loop where it is connected */
struct provider_view provider_view(const struct offer *o);
struct ws_conn *provider_ws(const struct provider *p);

/* Untrusted from now on, and its key with it, whatever it connects as and whoever restarts: its
 * attempts are lost, its models leave the routing. */
void provider_distrust(struct provider *p, enum trust_reason reason);
/* The operator forgives the key (hex SHA-256): its provider is challenged anew. ERR_NOT_FOUND: no
 * such key is distrusted. */
int registry_forgive(struct registry *reg, struct str key);

/* --- records of keys, for the store --- */

struct registry_saved {
    struct str key;         /* valid until the registry is next used */
    const char *distrusted; /* reason code; "": it is not */
};
/* Of the records that changed, the one that has waited longest: append its text to `out` and count
 * it as saved. 0; ERR_NOT_FOUND: all are saved; ERR_NOMEM, ERR_LIMIT: it waits on. */
int registry_next_record(struct registry *reg, struct buf *out, struct registry_saved *ret_saved);
bool registry_has_unsaved(const struct registry *reg);
/* It was not saved after all. */
void registry_keep_record(struct registry *reg, struct str key);
/* Before providers connect: a text that was saved, and the reason code of the key's distrust
 * (empty: none), which holds whatever the text says. A text that cannot be read is refused, and
 * that key begins anew. */
int registry_load_record(struct registry *reg, struct str key, struct str text,
                         struct str distrusted);

#endif
