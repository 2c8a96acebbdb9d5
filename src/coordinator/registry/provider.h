/* SPDX-License-Identifier: Apache-2.0 */
/* One provider's connection, private to the registry. */
#ifndef DARKBLOOM_COORDINATOR_REGISTRY_PROVIDER_H
#define DARKBLOOM_COORDINATOR_REGISTRY_PROVIDER_H

#include "attest/blob.h"
#include "base/b64.h"
#include "coordinator/registry/registry.h"
#include "seal/box.h"

enum {
    PROVIDER_FRAME_MAX_BYTES = 10 << 20,
    PROVIDER_OUT_MAX_BYTES = 32 << 20,
    /* Before `register`: 256 models of some 400 bytes each, an attestation and, in base64, the
     * boot's event log and the key's certificates are some 200 KiB; nothing is sent but pongs. */
    PROVIDER_FIRST_FRAME_MAX_BYTES = 256 << 10,
    PROVIDER_FIRST_OUT_MAX_BYTES = 16 << 10,
    PROVIDER_MAX_MODELS = 256,
    PROVIDER_REGION_BYTES = 1 << 20,
    PROVIDER_ACCOUNT_BYTES = 9 + 64 + 1, /* "provider:" and a SHA-256 in hex */
    DEFAULT_MAX_RUNNING = 4,             /* of who does not say */
    CHALLENGE_NONCE_BYTES = 32,
    CHALLENGE_MAX_FAILURES = 3
};

enum provider_state { PROVIDER_CONNECTED, PROVIDER_REGISTERED, PROVIDER_GONE };

/* A model as one provider offers it. */
struct offer {
    struct provider *provider;
    struct str id;                                 /* the model's, in the provider's region */
    struct model *model;                           /* NULL while the provider may not be asked */
    struct list_node link;                         /* the model's offers */
    struct str model_type, quantization, numerics; /* in the provider's region */
    int64_t context_length, template_overhead;
    /* last heartbeat */
    int64_t num_running, num_waiting, backlog_tokens;
    bool slot_usable; /* not crashed or reloading */
    bool slot_cold;   /* idle_shutdown */
    /* place in the model's heap */
    int heap_level; /* -1: not routable */
    size_t heap_index;
    double cost_ms;
    uint32_t tie; /* random: equal costs spread */
};

struct challenge {
    struct loop_timer timer; /* next challenge, or the answer's deadline while one is out */
    bool outstanding, passed;
    int failures; /* in a row */
    char nonce[B64_LEN(CHALLENGE_NONCE_BYTES) + 1];
    char timestamp[CLOCK_RFC3339_BYTES];
};

struct provider {
    struct registry *reg;
    struct list_node link; /* the registry's providers */
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
    double decode_tps;
    bool has_key;
    uint8_t x25519[BOX_KEY_BYTES];
    char x25519_b64[BOX_KEY_B64 + 1];
    struct box_session *ready; /* for the next attempt; NULL: not made yet */
    struct loop_defer prepare;
    bool attested;
    struct attest_blob blob;
    char account[PROVIDER_ACCOUNT_BYTES];
    struct offer *offers;
    size_t n_offers;
    bool listed; /* its offers are among their models' */

    /* trust */
    enum trust_level trust;
    enum trust_reason reason;
    bool untrusted;
    struct challenge challenge;

    /* load */
    struct list_node attempts;
    struct map attempts_by_id; /* wire id → struct attempt */
    int64_t n_attempts, max_running;
    double total_memory_gb, pressure_cost_ms;
    int64_t failed_until_us; /* mono; failures cost the time until then */
    bool thermal_critical;
    uint64_t ignored_messages;
};

struct registry {
    struct registry_config config;
    struct loop *loop;
    struct clock clock;
    struct list_node providers;
    struct list_node dead; /* gone; freed at the end of the iteration: a callback may be running */
    struct loop_defer reap;
    size_t n_registered;
    uint64_t last_serial;
    struct map models;            /* id → struct model */
    struct map by_key;            /* proven key hash → struct provider */
    struct proto_scratch scratch; /* decoding: one message at a time */
    struct buf out;               /* encoding of small messages */
};

/* link.c: messages in, messages out */
int provider_send(struct provider *p, const struct provider_msg *m);
/* Close the connection with a code; the provider is gone when this returns. */
void provider_close(struct provider *p, int ws_code, const char *why);

/* Free the providers that are gone. */
void registry_reap(struct registry *reg);

/* register.c */
int provider_register(struct provider *p, const struct msg_register *m, struct err *ret_err);

/* A challenge proved the attested key on this socket: only now does it earn, and only now does it
 * displace an older connection of the same key. Returns that one, or NULL: the caller closes it
 * once this one is trusted, so that what ran there finds its way here. */
struct provider *provider_key_proven(struct provider *p);

/* session.c: whether its key can be encrypted to. 0, ERR_CRYPTO: it is of low order, ERR_BUSY: not
 * known now. */
int provider_key_check(struct provider *p);
/* session.c: wipe what was made ahead */
void provider_session_drop(struct provider *p);

/* load.c */
void provider_heartbeat(struct provider *p, const struct msg_heartbeat *m);
int64_t provider_max_running(double total_memory_gb);
/* The attempt running here under this wire id, or NULL. */
struct attempt *provider_attempt(const struct provider *p, struct str wire_id);

/* challenge.c */
void challenge_start(struct provider *p);
void challenge_answer(struct provider *p, const struct msg_attestation_response *m);
void challenge_stop(struct provider *p);

/* registry.c: every attempt is told that it is lost, and why */
void provider_drop_attempts(struct provider *p, const char *why);

/* trust changes are logged and re-index the provider's offers */
void provider_set_trust(struct provider *p, enum trust_level level, enum trust_reason reason);

/* models.c */
int models_add_configured(struct registry *reg); /* 0 or ERR_NOMEM */
void models_free(struct registry *reg);
/* A model that is not there yet. NULL: no memory, or too many. */
struct model *model_add(struct registry *reg, struct str id);
/* The provider has registered: its models are known, where there is room. */
void models_announce(struct provider *p);
/* The provider may be asked now: its offers join their models', and one that does not fit displaces
 * one that nobody serves or asks for. And the reverse. */
void models_list(struct provider *p);
void models_unlist(struct provider *p);

/* offers.c: the per-model index */
/* May be asked at all, busy or not. */
bool provider_eligible(const struct provider *p);
void offers_update(struct provider *p); /* after anything that routing depends on */
void offers_withdraw(struct provider *p);
bool offer_routable(const struct offer *o);

#endif
