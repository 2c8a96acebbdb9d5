/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/registry/gate.h"

#include <stddef.h>

#include "coordinator/registry/provider.h"

struct gate_asked {
    const struct provider *p;
    const struct offer *o; /* NULL: the provider itself */
    int64_t now_us;
};

/* --- may it be asked at all? --- */

static bool gate_fails_CONNECTION(const struct gate_asked *a)
{
    return a->p->state == PROVIDER_GONE;
}

static bool gate_fails_REGISTERED(const struct gate_asked *a)
{
    return a->p->state != PROVIDER_REGISTERED;
}

static bool gate_fails_KEY(const struct gate_asked *a)
{
    return !a->p->has_key;
}

static bool gate_fails_PRIVATE_TEXT(const struct gate_asked *a)
{
    return !a->p->private_text;
}

static bool gate_fails_DISTRUSTED(const struct gate_asked *a)
{
    return a->p->record->distrusted;
}

static bool gate_fails_CHALLENGE_PENDING(const struct gate_asked *a)
{
    return !a->p->challenge.passed && !a->p->challenge.ever_passed && a->p->challenge.missed == 0;
}

static bool gate_fails_CHALLENGE_MISSED(const struct gate_asked *a)
{
    return !a->p->challenge.passed;
}

static bool gate_fails_TRUST_LEVEL(const struct gate_asked *a)
{
    return (int)a->p->trust < a->p->reg->config.settings->min_trust;
}

/* --- could it answer? --- */

static bool gate_fails_DRAINING(const struct gate_asked *a)
{
    return a->p->draining;
}

static bool gate_fails_BREAKER(const struct gate_asked *a)
{
    return breaker_state(&a->p->record->breaker, a->now_us) == BREAKER_OPEN;
}

static bool gate_fails_BREAKER_PROBE(const struct gate_asked *a)
{
    return breaker_state(&a->p->record->breaker, a->now_us) == BREAKER_HALF_OPEN &&
           a->p->record->breaker.probing;
}

static bool gate_fails_NO_MODELS(const struct gate_asked *a)
{
    return a->p->n_offers == 0;
}

static bool gate_fails_MODEL_LISTED(const struct gate_asked *a)
{
    return a->o && !a->o->model;
}

static bool gate_fails_MEMORY(const struct gate_asked *a)
{
    return a->o && a->o->no_memory;
}

static bool gate_fails_SLOT_CRASHED(const struct gate_asked *a)
{
    return a->o && a->o->slot.state == SLOT_CRASHED;
}

static bool gate_fails_SLOT_RELOADING(const struct gate_asked *a)
{
    return a->o && a->o->slot.state == SLOT_RELOADING;
}

static bool gate_fails_THERMAL(const struct gate_asked *a)
{
    return a->p->load.thermal_critical;
}

/* --- has it room? --- */

static bool gate_fails_REFUSED(const struct gate_asked *a)
{
    return a->p->n_attempts >= a->p->believed_room;
}

static bool gate_fails_SLOTS(const struct gate_asked *a)
{
    return a->p->n_attempts >= a->p->load.max_running;
}

static bool gate_fails_NEW(const struct gate_asked *a)
{
    return a->p->n_attempts >= breaker_limit(&a->p->record->breaker, a->now_us, a->p->n_attempts);
}

static bool gate_fails_RATE(const struct gate_asked *a)
{
    return a->o && a->p->n_attempts >= a->o->stream_limit;
}

/* --- the table --- */

static const struct {
    bool (*fails)(const struct gate_asked *a);
    const char *code;
    enum gate_kind kind;
    const char *meaning, *help;
} gates[GATE_COUNT] = {
    [GATE_NONE] = {NULL, "ok", GATE_KIND_NONE, "requests are sent there", "nothing"},
#define GATE_ROW(name, code, kind, meaning, help) \
    [GATE_##name] = {gate_fails_##name, code, GATE_KIND_##kind, meaning, help},
    GATE_TABLE(GATE_ROW)
#undef GATE_ROW
};

const char *gate_code(enum gate g)
{
    return gates[g].code;
}

const char *gate_meaning(enum gate g)
{
    return gates[g].meaning;
}

const char *gate_help(enum gate g)
{
    return gates[g].help;
}

enum gate_kind gate_kind(enum gate g)
{
    return gates[g].kind;
}

static enum gate gate_first(const struct gate_asked *a)
{
    for (int g = GATE_NONE + 1; g < GATE_COUNT; g++) {
        if (gates[g].fails(a))
            return (enum gate)g;
    }
    return GATE_NONE;
}

enum gate gate_of_provider(const struct provider *p, int64_t now_us)
{
    return gate_first(&(struct gate_asked){p, NULL, now_us});
}

enum gate gate_of_offer(const struct offer *o, int64_t now_us)
{
    return gate_first(&(struct gate_asked){o->provider, o, now_us});
}
