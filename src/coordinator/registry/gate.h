/* SPDX-License-Identifier: Apache-2.0 */
/* Why a provider gets no request (FR-19). One ordered table of gates; the first that fails is the
 * reason, as a stable code, for the router, the API, the console and the operator alike. An offer
 * stands in the routing index if and only if none fails.
 *
 * The order is by kind: TRUST (may it be asked at all?), then HEALTH (could it answer?), then BUSY
 * (has it room now?). So the kind of the first failing gate says all three: connected and trusted
 * if it is not TRUST, routable if it is neither TRUST nor HEALTH. */
#ifndef DARKBLOOM_COORDINATOR_REGISTRY_GATE_H
#define DARKBLOOM_COORDINATOR_REGISTRY_GATE_H

#include <stdint.h>

struct provider;
struct offer;

enum gate_kind { GATE_KIND_TRUST, GATE_KIND_HEALTH, GATE_KIND_BUSY, GATE_KIND_NONE };

/* X(NAME, "code", kind, what it means, what may be done about it) */
#define GATE_TABLE(X)                                                                             \
    X(CONNECTION, "disconnected", TRUST, "its connection has ended",                              \
      "look at the provider's log; it reconnects on its own")                                     \
    X(REGISTERED, "not_registered", TRUST, "it is connected and has not said what it offers",     \
      "wait; it is disconnected if it stays silent")                                              \
    X(KEY, "no_usable_key", TRUST, "its encryption key is missing or cannot be encrypted to",     \
      "update the provider; a key of low order is refused")                                       \
    X(PRIVATE_TEXT, "no_private_text", TRUST,                                                     \
      "it does not say that its engine runs in process with the protections on",                  \
      "use a native engine, and switch on what `darkbloom doctor` names")                         \
    X(DISTRUSTED, "distrusted", TRUST, "its key broke a rule, which is final",                    \
      "read the trust reason; only the coordinator's operator may forgive the key")               \
    X(CHALLENGE_PENDING, "challenge_pending", TRUST, "its first challenge is not answered yet",   \
      "wait some seconds; then look at the provider's log for what it could not sign")            \
    X(CHALLENGE_MISSED, "challenge_missed", TRUST, "its last challenge was not answered in time", \
      "nothing: challenges go on, and the next right answer restores it")                         \
    X(TRUST_LEVEL, "trust_level", TRUST, "its trust is below the least level of the settings",    \
      "prove the key in hardware, or lower routing.min_trust")                                    \
    X(DRAINING, "draining", HEALTH, "it says that it finishes its work and takes no more",        \
      "nothing: it stops or comes back")                                                          \
    X(BREAKER, "failing", HEALTH, "it failed too often and is left alone for a while",            \
      "look at the provider's log for failed requests; it is tried again on its own")             \
    X(BREAKER_PROBE, "being_probed", HEALTH, "after failures one request tries it out",           \
      "nothing: its outcome decides")                                                             \
    X(NO_MODELS, "no_models", HEALTH, "it offers no model", "give the provider a model")          \
    X(MODEL_LISTED, "models_full", HEALTH, "too many models are known; this one is not served",   \
      "name the model in the coordinator's settings")                                             \
    X(MEMORY, "no_memory", HEALTH, "the coordinator had no memory for its place in the index",    \
      "give the coordinator more memory")                                                         \
    X(SLOT_CRASHED, "model_crashed", HEALTH, "it says that this model's engine has crashed",      \
      "look at the provider's log; restart it")                                                   \
    X(SLOT_RELOADING, "model_reloading", HEALTH, "it says that this model is being loaded",       \
      "wait for it")                                                                              \
    X(THERMAL, "thermal", HEALTH, "it says that it is critically hot", "cool the machine")        \
    X(REFUSED, "refused_load", BUSY,                                                              \
      "it refused a request for want of room and has not said "                                   \
      "since that it has some",                                                                   \
      "nothing: its next heartbeats count")                                                       \
    X(SLOTS, "slots_full", BUSY, "as many requests run there as it takes at once",                \
      "nothing, or allow more at once at the provider")                                           \
    X(NEW, "proving", BUSY, "its key has shown little content yet and gets few at once",          \
      "nothing: each answer that begins doubles the number")                                      \
    X(RATE, "stream_rate", BUSY,                                                                  \
      "with one more stream each would fall below "                                               \
      "routing.min_stream_tps",                                                                   \
      "a faster machine, or lower the setting")

enum gate {
    GATE_NONE, /* nothing is in the way */
#define GATE_ENUM(name, code, kind, meaning, help) GATE_##name,
    GATE_TABLE(GATE_ENUM)
#undef GATE_ENUM
        GATE_COUNT
};

const char *gate_code(enum gate g); /* "ok" for GATE_NONE */
const char *gate_meaning(enum gate g);
const char *gate_help(enum gate g);
enum gate_kind gate_kind(enum gate g); /* GATE_KIND_NONE for GATE_NONE */

/* The first gate that fails at `now_us` (mono) for the provider itself, whatever the model. */
enum gate gate_of_provider(const struct provider *p, int64_t now_us);
/* The same for one of its offers, the provider's own gates included. */
enum gate gate_of_offer(const struct offer *o, int64_t now_us);

#endif
