/* SPDX-License-Identifier: Apache-2.0 */
/* A registry in virtual time with providers that stand as if they had registered and answered their
 * challenge: what they report and what happens to them is the test's. */
#ifndef TESTS_COORDINATOR_FAKE_FLEET_H
#define TESTS_COORDINATOR_FAKE_FLEET_H

#include "coordinator/registry/group.h"
#include "coordinator/registry/provider.h"
#include "net/inbox.h"
#include "net/loop_fake.h"

enum { FLEET_PROVIDERS = 20000, FLEET_MODELS = 2 };

struct fake_fleet {
    struct loop *loop;
    struct log log;
    struct settings settings;
    struct registry *reg;
    struct model *models[FLEET_MODELS];
    struct provider *providers[FLEET_PROVIDERS]; /* NULL: it has left */
    size_t n_providers;
    size_t n_capacity;           /* calls of the capacity hook */
    size_t n_room[FLEET_MODELS]; /* of the room hook */
    struct inbox *inbox;         /* in a group */
    bool (*on_capacity)(void *ud, struct model *m);
    void *on_capacity_ud;
};

/* cmocka setup and teardown: *state is a fleet without providers, models "m0" and "m1". */
int fake_fleet_up(void **state);
int fake_fleet_down(void **state);

/* One of a group of loops in one world; `beside`: another one of it, NULL: this is the first. */
struct fake_fleet *fake_fleet_new(struct fake_fleet *beside, struct registry_group *group,
                                  unsigned number);

struct fake_member {
    enum trust_level trust;
    size_t n_models; /* it offers the first so many */
    int64_t slots;
    int64_t context_length, template_overhead; /* of each offer */
    const char *key;                           /* that it has proven; NULL: none */
    bool newcomer;                             /* its key has shown no content yet */
};

/* A trusted, idle provider. */
struct provider *fake_fleet_add_with(struct fake_fleet *f, const struct fake_member *member);
/* A trusted, idle provider with four slots that offers the first `n_models` models. */
struct provider *fake_fleet_add(struct fake_fleet *f, enum trust_level trust, size_t n_models);
/* It answers a challenge with this key. */
void fake_fleet_prove(struct provider *p, const char *key);
/* Its connection ends; `fault`: not with a goodbye. */
void fake_fleet_leave(struct fake_fleet *f, struct provider *p, bool fault);

/* The provider with the least expected cost for the model, NULL: none. Of equals the one that was
 * asked longest ago, then the one that came first. */
struct provider *fake_fleet_choose(struct fake_fleet *f, size_t model, enum trust_level min);

/* Take a slot of the provider for the model. */
void fake_fleet_take(struct provider *p, size_t model, const char *wire_id, struct attempt *a,
                     const struct attempt_ops *ops);
/* One request to the provider's first model ends so. */
void fake_fleet_end(struct provider *p, enum attempt_end end);
/* One answer of this length at this many tokens a second. */
void fake_fleet_serve(struct provider *p, int64_t prompt, int64_t completion, double tps);

/* A heartbeat that says nothing but "idle". */
void fake_fleet_heartbeat(struct provider *p);

/* Every offer of everybody: it is in the index if and only if no gate fails, in the right heap, the
 * heaps are in order, and all counts are those that counting gives. */
void fake_fleet_check(const struct fake_fleet *f);

#endif
