/* SPDX-License-Identifier: Apache-2.0 */
/* A whole provider in virtual time: fake loop, fake coordinator, fake engine, a real key in a
 * temporary directory, and the log in a file that the test can read. */
#ifndef TESTS_FAKE_WORLD_H
#define TESTS_FAKE_WORLD_H

#include "base/log.h"
#include "fake_coordinator.h"
#include "fake_engine.h"
#include "net/loop_fake.h"
#include "provider/post.h"
#include "provider/provider.h"

#define FAKE_WALL_US     INT64_C(1790000000000000)
#define FAKE_MODEL       "smollm2-135m-instruct"
#define FAKE_BINARY_HASH "1111111111111111111111111111111111111111111111111111111111111111"
#define FAKE_WEIGHT_HASH "2222222222222222222222222222222222222222222222222222222222222222"

enum { FAKE_MAX_JOBS = 4, FAKE_DRAIN_MS = 600000 };

struct fake_world {
    struct loop *loop;
    struct fake_coordinator coordinator;
    struct fake_engine engine;
    struct post *post;
    struct signer *signer;
    struct box_pair *pair;
    struct machine machine;
    struct log log;
    struct provider *provider;
    char dir[64];
    bool stopped;
    uint8_t rand_byte; /* every random byte of the provider's jitter and ids */
};

/* cmocka setup and teardown: *state is the world. The provider is started, connected to a polite
 * coordinator and registered. */
int fake_world_up(void **state);
int fake_world_down(void **state);

/* As fake_world_up, with a coordinator of that manner and nothing run yet. */
struct fake_world *fake_world_new(enum fake_manner manner);

/* Hand the engine's queued events to the provider and let everything settle. */
void fake_world_run(struct fake_world *w);
void fake_world_advance_ms(struct fake_world *w, int64_t ms);

/* The log so far, NUL-terminated; freed by the caller. */
char *fake_world_log(const struct fake_world *w);

/* provider_stop that sets w->stopped. */
void fake_world_stop(struct fake_world *w);

/* ECDSA P-256 over SHA-256, straight on OpenSSL. `public_b64`: base64 of X || Y; `signature_b64`:
 * base64 of the DER form. */
bool fake_verify(struct str public_b64, struct str message, struct str signature_b64);

#endif
