/* SPDX-License-Identifier: Apache-2.0 */
/* A scripted provider: registers with a software key, answers challenges, unseals what it gets, and
 * otherwise does only what the test says. Every call lets the world settle. */
#ifndef TESTS_FLOW_FAKE_PROVIDER_H
#define TESTS_FLOW_FAKE_PROVIDER_H

#include "fake_world.h"
#include "identity/signer.h"
#include "net/ws.h"
#include "proto/chunk.h"
#include "proto/provider_msg.h"
#include "seal/box.h"

enum { FAKE_JOBS = 320, FAKE_CONTEXT = 2048, FAKE_OVERHEAD = 32 };

/* How it meets a challenge. */
enum fake_answer {
    FAKE_ANSWERS,
    FAKE_SILENT,
    FAKE_FORGES,      /* a signature of something else */
    FAKE_OTHER_KEY,   /* names another encryption key */
    FAKE_OTHER_NONCE, /* answers what was not asked */
};

struct fake_provider_config {
    const char *key;     /* name of its signing key; NULL: one of its own */
    bool no_attestation; /* registers without a blob */
    bool no_register;    /* connects and says nothing */
    int64_t max_running; /* 0: 4 */
    double cpu_usage;    /* 0..1: the idler one is chosen */
    const char *model;   /* NULL: FAKE_MODEL */
    enum fake_answer answer;
    int64_t context_length; /* 0: FAKE_CONTEXT */
    const char *chip_name;  /* NULL: "Test CPU" */
    const char *public_key; /* base64; NULL: its own encryption key */
};

/* A request it was given. */
struct fake_job {
    char wire_id[64];
    struct box_session *session;
    struct buf body;      /* the opened request */
    unsigned cancels;     /* cancel messages for it */
    int64_t cancelled_us; /* when the first one came (virtual) */
};

struct fake_provider {
    struct fake_world *w;
    struct fake_provider_config config;
    struct ws_conn *ws; /* NULL: closed */
    char close_text[160];
    struct signer *signer;
    struct box_pair *pair;
    struct box_slab *slab; /* NULL before the first request */
    struct buf line, sealed, frame;
    char nonce[64], timestamp[32], signature[160]; /* the challenge being answered */
    int challenges;
    unsigned stray_cancels; /* for what it does not know */
    struct fake_job jobs[FAKE_JOBS];
    size_t n_jobs;
    size_t n_served; /* the test's own count */
};

/* Connect and, unless told otherwise, register, prove the key and send a heartbeat. */
struct fake_provider *fake_provider_join(struct fake_world *w,
                                         const struct fake_provider_config *config);
/* Drop the connection. */
void fake_provider_die(struct fake_provider *p);
/* Close it with this code, in a close frame. */
void fake_provider_close(struct fake_provider *p, int code);
/* Connect anew with the same key, without waiting for what comes of it. */
void fake_provider_come_back(struct fake_provider *p);
void fake_provider_free(struct fake_provider *p);

/* "provider:" and the SHA-256 of its public key; valid until the next call. */
const char *fake_provider_account(const struct fake_provider *p);

/* --- what it says --- */

void fake_provider_heartbeat(struct fake_provider *p);
/* One that says that it takes no more. */
void fake_provider_drain(struct fake_provider *p);
void fake_provider_accept(struct fake_provider *p, size_t job, int64_t prompt_tokens);
void fake_provider_role(struct fake_provider *p, size_t job);
/* `tokens` PROTO_UNSET: it does not say, as an old peer. A token is at least one byte: those beyond
 * the text's go into reasoning. */
void fake_provider_text(struct fake_provider *p, size_t job, const char *text, int64_t tokens);
/* That text and nothing else, said to be so many tokens. */
void fake_provider_exaggerate(struct fake_provider *p, size_t job, const char *text,
                              int64_t tokens);
void fake_provider_finish(struct fake_provider *p, size_t job);
/* Usage and [DONE], as providers send them before they complete. */
void fake_provider_usage(struct fake_provider *p, size_t job, int64_t prompt, int64_t completion);
void fake_provider_complete(struct fake_provider *p, size_t job, int64_t prompt,
                            int64_t completion);
void fake_provider_error(struct fake_provider *p, size_t job, int status, const char *text);

/* Accept, "Hello", " world", usage, [DONE], complete. */
void fake_provider_serve(struct fake_provider *p, size_t job, int64_t prompt, int64_t completion);

/* Any message, any sealed line, any bytes. */
void fake_provider_send(struct fake_provider *p, const struct provider_msg *m);
void fake_provider_line(struct fake_provider *p, size_t job, struct str line, int64_t tokens);
void fake_provider_say(struct fake_provider *p, struct str frame);

/* The chunk that carries `line` sealed; valid until the next call. */
struct provider_msg fake_provider_chunk(struct fake_provider *p, size_t job, struct str line,
                                        int64_t tokens);
/* The register message without attestation. */
struct provider_msg fake_provider_register_msg(struct fake_provider *p);

#endif
