/* SPDX-License-Identifier: Apache-2.0 */
/* A coordinator for tests: accepts providers on a loop, keeps what they send, says what it is told
 * to. */
#ifndef TESTS_FAKE_COORDINATOR_H
#define TESTS_FAKE_COORDINATOR_H

#include "net/ws.h"
#include "proto/provider_msg.h"
#include "seal/box.h"

enum { FAKE_FRAMES = 4096 };

enum fake_manner {
    FAKE_POLITE,    /* handshake, then WebSocket */
    FAKE_SLAMS,     /* handshake, then closes at once */
    FAKE_DEAF,      /* handshake, then never says or answers anything */
    FAKE_NOT_READY, /* takes the connection and answers nothing at all */
};

struct fake_coordinator {
    struct loop *loop;
    enum fake_manner manner;
    int sock;
    uint16_t port;
    struct loop_watch *watch;
    struct conn *conn;  /* before (or without) the WebSocket */
    struct ws_conn *ws; /* the newest connection */
    int connections;
    int64_t connected_us[64]; /* when each of them came (virtual) */
    bool closed;              /* the newest connection ended */
    char close_text[128];
    struct arena region;
    struct str frames[FAKE_FRAMES]; /* as received, all connections */
    size_t n_frames;
    struct proto_scratch scratch;
    struct box_slab *slab;
    struct buf plain;
};

void fake_coordinator_start(struct fake_coordinator *c, struct loop *loop);
void fake_coordinator_stop(struct fake_coordinator *c);
/* From now on connecting fails. */
void fake_coordinator_stop_listening(struct fake_coordinator *c);
void fake_coordinator_hang_up(struct fake_coordinator *c);

void fake_coordinator_say(struct fake_coordinator *c, struct str frame);
void fake_coordinator_send(struct fake_coordinator *c, const struct provider_msg *msg);

/* Seal `body` to the provider that registered last and send it; the session opens its chunks. */
struct box_session *fake_coordinator_request(struct fake_coordinator *c, const char *request_id,
                                             const char *body);

/* The `nth` frame of that type, decoded (valid until the next call); NULL: there is none. */
const struct provider_msg *fake_coordinator_got(struct fake_coordinator *c, enum msg_type type,
                                                size_t nth);
size_t fake_coordinator_count(struct fake_coordinator *c, enum msg_type type);

/* The `nth` chunk of that request, opened; .p NULL: there is none. *ret_tokens may be NULL. */
struct str fake_coordinator_chunk(struct fake_coordinator *c, const char *request_id,
                                  struct box_session *session, size_t nth, int64_t *ret_tokens);

#endif
