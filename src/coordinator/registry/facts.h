/* SPDX-License-Identifier: Apache-2.0 */
/* What the registry shows of itself to the operator: every provider with the first gate that fails
 * (FR-19), and one routing decision with its reasons. Facts are plain values; strings belong to the
 * provider and live until the loop's next iteration. Nothing here identifies a machine beyond its
 * key's hash: serial numbers are not kept. Loop's thread. */
#ifndef DARKBLOOM_COORDINATOR_REGISTRY_FACTS_H
#define DARKBLOOM_COORDINATOR_REGISTRY_FACTS_H

#include "coordinator/registry/cost.h"
#include "coordinator/registry/registry.h"

struct provider_facts {
    const char *id;       /* of this connection */
    const char *key_hash; /* hex SHA-256 of the key proven on it; "": none yet */
    struct str backend, version, chip_name, machine_model;
    enum trust_level trust;
    enum trust_reason reason;          /* of the last change of trust */
    bool connected, trusted, routable; /* as they are counted */
    enum gate gate;                    /* its own first failing one, else its best offer's */
    size_t offers;                     /* models that it offers */
    int64_t running, max_running;      /* attempts there, and what it takes at once */
    int missed_challenges;             /* in a row */
    double failed_share;               /* of its answers in the long run, 0..1 */
    int64_t back_off_us;               /* until it is tried again; 0: it is not left alone */
    uint64_t late_chunks, ignored_messages;
};

struct offer_facts {
    struct str model;
    enum gate gate;
    int64_t context_length;           /* 0: not known */
    int64_t num_running, num_waiting; /* as its last heartbeat has it */
    double decode_tps;                /* of one stream alone, as far as it is known */
    int64_t stream_limit;             /* at once, by its measured speed; INT64_MAX: not bounded */
    double cost_ms;                   /* expected wait of the next request */
    struct cost cost;                 /* the same by term */
};

/* A place in the list of providers, zeroed to begin with. It stays good while providers come and
 * go, also over iterations of the loop: the walk goes on with those that came later. */
struct registry_cursor {
    uint64_t serial; /* of the provider shown last */
    uint64_t change; /* of the list, when `at` was set */
    const void *at;
};

/* The next provider, the oldest connection first; false: there is none. */
bool registry_provider_next(const struct registry *reg, struct registry_cursor *cursor,
                            struct provider_facts *ret_facts);
/* The `i`th offer of the provider that was just given; false: there is none. */
bool registry_offer_facts(const struct registry *reg, const struct registry_cursor *cursor,
                          size_t i, struct offer_facts *ret_facts);

/* A choice among the offers of one model, and why. */
struct route_choice {
    struct provider_facts provider;
    struct offer_facts offer;
};
struct route_explained {
    struct route_choice best, runner_up; /* by cost */
    size_t found;                        /* of the two: 0, 1 or 2 */
    size_t near;   /* offers that cost as little as the best, among which one is drawn */
    size_t looked; /* places of the index that the choice looked at */
    /* Offers of the model by their first failing gate; those under GATE_NONE are routable, of which
     * `too_little_trust`, `too_small` and `excluded` ones would not do for this request. */
    size_t by_gate[GATE_COUNT];
    size_t too_little_trust, too_small, excluded;
};

/* What registry_choose would do for this request. Walks all providers, for an operator's question
 * only: some milliseconds at 100,000. */
void registry_explain(const struct registry *reg, struct str model, const struct route_ask *ask,
                      struct route_explained *ret_explained);

/* The terms of a cost by number, for whoever shows them: false past the last one. */
bool cost_term(const struct cost *c, size_t i, const char **ret_name, const char **ret_what,
               double *ret_ms);

#endif
