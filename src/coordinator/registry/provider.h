/* SPDX-License-Identifier: Apache-2.0 */
/* One provider's connection, private to the registry. */
#ifndef DARKBLOOM_COORDINATOR_REGISTRY_PROVIDER_H
#define DARKBLOOM_COORDINATOR_REGISTRY_PROVIDER_H

#include "attest/blob.h"
#include "base/b64.h"
#include "base/check.h"
#include "coordinator/registry/cost.h"
#include "coordinator/registry/record.h"
#include "coordinator/registry/registry.h"
#include "seal/maker.h"

enum {
    PROVIDER_FRAME_MAX_BYTES = 10 << 20,
    PROVIDER_OUT_MAX_BYTES = 32 << 20,
    /* Before `register`: 256 models of some 400 bytes each, an attestation and, in base64, the
     * boot's event log and the key's certificates are some 200 KiB; nothing is sent but pongs. */
    PROVIDER_FIRST_FRAME_MAX_BYTES = 256 << 10,
    PROVIDER_FIRST_OUT_MAX_BYTES = 16 << 10,
    PROVIDER_MAX_MODELS = 256,
    PROVIDER_REGION_BYTES = 1 << 20,
    DEFAULT_MAX_RUNNING = 4,             /* of a provider that does not say */
    PROVIDER_ACCOUNT_BYTES = 9 + 64 + 1, /* "provider:" and a SHA-256 in hex */
    CHALLENGE_NONCE_BYTES = 32
};

#define RATED_NEVER (INT64_MIN / 2) /* of provider.rated_us */

enum provider_state { PROVIDER_CONNECTED, PROVIDER_REGISTERED, PROVIDER_GONE };

/* What the last heartbeat said of a model. */
enum slot_state { SLOT_RUNNING, SLOT_COLD, SLOT_CRASHED, SLOT_RELOADING };

struct offer_slot {
    enum slot_state state;
    int64_t num_running, num_waiting, backlog_tokens;
};

/* A model as one provider offers it. */
struct offer {
    struct provider *provider;
    struct str id;                                 /* the model's, in the provider's region */
    struct model *model;                           /* NULL while the provider may not be asked */
    struct list_node link;                         /* the model's offers */
    struct str model_type, quantization, numerics; /* in the provider's region */
    int64_t context_length, template_overhead;
    struct offer_slot slot;
    struct rates *rates; /* in the provider's record; NULL: not measured */

    /* derived: offers_update */
    enum gate gate;       /* the first that fails */
    double decode_tps;    /* of one stream that has the provider for itself */
    struct cost cost;     /* by term; cost_ms is the sum */
    double cost_ms;       /* as the index has it */
    int64_t stream_limit; /* at once, as the rates have it (FR-10) */
    struct {
        int level;    /* -1: not in the index */
        size_t index; /* in the heap of that level */
    } place;
    int servable_level; /* counted in the model's n_servable; -1: not */
    int listed_level;   /* counted in the model's n_listed; -1: not */
    uint64_t turn;      /* when it was last asked: the longest ago comes first among equals */
    bool no_memory;     /* for a place in the index */
};

struct challenge {
    struct loop_timer timer; /* next challenge, or the answer's deadline while one is out */
    bool outstanding;        /* an answer may come */
    bool passed;             /* the last one was answered rightly */
    bool ever_passed;
    int missed; /* in a row; saturates */
    char nonce[B64_LEN(CHALLENGE_NONCE_BYTES) + 1];
    char timestamp[CLOCK_RFC3339_BYTES];
};

/* What the last heartbeat said of the machine. */
struct provider_load {
    int64_t max_running;
    double pressure_ms; /* expected wait for want of memory, processor, cooling */
    bool thermal_critical;
};

/* Signatures that wait for their turn: verify.c. */
struct verify_job {
    struct list_node link;
    struct buf answer;      /* the frame of an answer to a challenge; empty: none waits */
    struct str attestation; /* of register, in the provider's region; .p NULL: none waits */
};

struct provider {
    struct registry *reg;
    struct list_node link; /* the registry's providers, by serial */
    struct ws_conn *ws;    /* NULL once gone */
    char id[RAND_UUID_BYTES];
    uint64_t serial;
    enum provider_state state;
    struct loop_timer silence; /* heartbeat time-out, and the deadline for `register` */

    /* from register */
    struct arena region;
    enum attest_platform platform;
    bool private_text; /* may serve: encrypted chunks, in-process, no proxy */
    struct str chip_name, machine_model, backend, version;
    double decode_tps, prefill_tps; /* as it claims; 0: it does not */
    bool has_key;
    uint8_t x25519[BOX_KEY_BYTES];
    char x25519_b64[BOX_KEY_B64 + 1];
    struct box_stock stock; /* sessions for the next attempts */
    struct loop_defer prepare;
    bool attested;
    struct attest_blob blob;
    char account[PROVIDER_ACCOUNT_BYTES];
    struct offer *offers;
    size_t n_offers;
    size_t turn; /* the offer whose model hears first of the next free slot (R8) */
    bool listed; /* its offers are among their models' */

    /* trust */
    enum trust_level trust;
    enum trust_reason reason;
    struct challenge challenge;
    struct verify_job verify;

    /* what is known of it: its key's record once that is proven, until then its own */
    struct record *record;
    struct record own_record;
    struct loop_timer breaker_timer; /* the end of the back-off */

    /* load */
    struct list_node attempts;
    struct map attempts_by_id; /* wire id → struct attempt */
    int64_t n_attempts;
    struct provider_load load;
    bool draining;            /* its last heartbeat said so */
    int64_t believed_room;    /* attempts that it has room for, after a refusal; INT64_MAX: any */
    int refused_in_row;       /* for load, without an answer in between; saturates */
    int64_t refused_until_us; /* mono; no heartbeat is believed before */
    int64_t rated_us;         /* mono: when what fades with time was last looked at */
    double failures_ms;       /* expected wait for its share of failures */
    struct list_node freed;   /* has room that somebody waits for; its models are asked in turn */

    /* counted in the registry's counts */
    bool counted_connected, counted_trusted, counted_routable;
    uint64_t ignored_messages, late_chunks;
};

struct registry {
    struct registry_config config;
    struct loop *loop;
    struct clock clock;
    struct list_node providers;
    struct list_node dead; /* gone; freed at the end of the iteration: a callback may be running */
    struct loop_defer reap;
    struct registry_counts counts;
    uint64_t last_serial;
    uint64_t last_turn;
    uint64_t n_changes;   /* of the list of providers; see registry_provider_next */
    struct map models;    /* id → struct model */
    struct map by_key;    /* proven key hash → struct provider */
    struct map by_serial; /* its eight bytes → struct provider, until it is gone */
    struct record_book records;
    struct list_node freed;  /* providers with room that somebody waits for */
    bool offering;           /* they are being asked now */
    struct list_node verify; /* providers whose signatures wait */
    struct loop_timer verify_timer;
    int verify_left;              /* signatures that this turn of the loop may still check */
    struct str frame;             /* the message that is being handled */
    struct proto_scratch scratch; /* decoding: one message at a time */
    struct buf out;               /* encoding of small messages */
    struct registry_work work;
};

/* provider.c: a connection begins; the memory is zeroed */
void provider_init(struct provider *p, struct registry *reg);
/* It is over: the registry forgets the provider, whose memory stays for this iteration. What runs
 * there is told last, as failed where it is the provider's `fault`. */
void provider_end(struct provider *p, const char *why, int ws_code, bool fault);
/* NULL: it is gone. */
struct provider *provider_by_serial(const struct registry *reg, uint64_t serial);
/* Free the providers that are gone. */
void registry_reap(struct registry *reg);

/* link.c: messages in, messages out */
int provider_send(struct provider *p, const struct provider_msg *m);
/* Close the connection with a code; the provider is gone when this returns. `fault`: what runs
 * there counts as failed, otherwise it is nobody's fault. */
void provider_close(struct provider *p, int ws_code, const char *why, bool fault);

/* register.c */
int provider_register(struct provider *p, const struct msg_register *m, struct err *ret_err);

/* Whether its key can be encrypted to. 0, ERR_CRYPTO: it is of low order, ERR_BUSY: not known now.
 * session.c */
int provider_key_check(struct provider *p);
/* session.c: wipe what was made ahead */
void provider_session_drop(struct provider *p);

/* load.c */
void provider_heartbeat(struct provider *p, const struct msg_heartbeat *m);
int64_t provider_max_running(double total_memory_gb);

/* attempts.c: the attempt running here under this wire id, or NULL */
struct attempt *provider_attempt(const struct provider *p, struct str wire_id);
/* Every attempt is told that it is lost, and why. */
void provider_drop_attempts(struct provider *p, enum attempt_end end, const char *why);

/* challenge.c */
void challenge_start(struct provider *p);
/* An answer has come: checked now or in its turn. */
void challenge_answer(struct provider *p, const struct msg_attestation_response *m);
void challenge_check(struct provider *p, const struct msg_attestation_response *m);
void challenge_stop(struct provider *p);
/* claim.c has brought what is known of the key that the last challenge proved. */
void challenge_key_is_here(struct provider *p);
/* Another connection has proven the same key: this one ends. */
void provider_replace(struct provider *older, const char *by);

/* claim.c: the key was proven on this socket. 0: no other loop knows it. ERR_AGAIN: one does, and
 * challenge_key_is_here is called once what it knows is here. ERR_NOMEM. */
int provider_claim_key(struct provider *p);

/* verify.c: signatures are checked a few a turn of the loop, so that a thousand providers that
 * come at once do not hold up streams. */
enum { VERIFY_PER_TURN = 8 };
void verify_init(struct provider *p);
/* True: check now. False: it was put into the queue (or did not fit there: `*ret_rc` says so). */
bool verify_now(struct provider *p, struct str answer_frame, int *ret_rc);
/* The same for p->verify.attestation. */
bool verify_attestation_now(struct provider *p);
void verify_forget(struct provider *p);
/* register.c: what verify.c calls in turn */
void provider_verify_attestation(struct provider *p);

/* provider.c: trust changes are logged and re-index the provider's offers */
void provider_set_trust(struct provider *p, enum trust_level level, enum trust_reason reason);
/* A challenge proved the attested key on this socket: only now does it earn, has its key's record
 * and displaces an older connection of the same key. Returns that one, or NULL: the caller closes
 * it once this one is trusted, so that what ran there finds its way here. */
struct provider *provider_key_proven(struct provider *p);
/* What is known of it has changed: for a newer connection of its key, too, which it has not made
 * way for yet. */
void provider_record_changed(struct provider *p);
/* Count it as what it is now. */
void provider_count(struct provider *p, bool connected, bool trusted, bool routable);

/* models.c */
int models_configure(struct registry *reg); /* 0 or ERR_NOMEM */
void models_free(struct registry *reg);
/* One that this loop knows, or NULL. */
struct model *model_find(const struct registry *reg, struct str id);
/* A model that is not there yet. NULL: no memory, or too many. */
struct model *model_add(struct registry *reg, struct str id);
/* The provider has registered: its models are known, where there is room. */
void models_announce(struct provider *p);
/* The provider may be asked now: its offers join their models', and one that does not fit displaces
 * one that nobody serves or asks for. And the reverse. */
void models_list(struct provider *p);
void models_unlist(struct provider *p);
/* The trust of a listed offer's provider has changed. */
void model_relist(struct offer *o);
/* An answer of this model ended so: what the next ones may be expected to be like. */
void model_learn(struct model *m, const struct rates_sample *s, int64_t now_us);

/* publish.c: to the other loops, after it has changed */
void model_publish(const struct model *m);
void model_publish_bounds(const struct model *m);
/* Somebody waits on another loop whom an offer at `level` would do for. */
bool model_is_waited_for_elsewhere(const struct model *m, enum trust_level level);
/* What nobody here has taken: call hooks.room for each model that is so waited for. */
void provider_offer_room_elsewhere(const struct provider *p);

/* offers.c: the per-model index */
void offers_update(struct provider *p); /* after anything that routing depends on */
void offers_withdraw(struct provider *p);
/* Its record's share of failures has changed. */
void provider_rate_failures(struct provider *p, int64_t now_us);
/* Whether what fades with time should be looked at again. */
bool provider_rate_is_due(const struct provider *p, int64_t now_us);

/* choose.c: the offers that registry_choose chooses among, cheapest first */
enum { ROUTE_NEAR = 8 };
struct route_found {
    struct offer *near[ROUTE_NEAR];
    size_t n;
    struct offer *next; /* the cheapest one that is not among them; NULL: none was seen */
    size_t looked;      /* places of the index that were looked at */
};
bool route_is_excluded(const struct offer *o, const struct route_ask *ask);
void route_search(const struct model *m, const struct route_ask *ask,
                  struct route_found *ret_found);

#endif
