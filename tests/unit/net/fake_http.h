/* SPDX-License-Identifier: Apache-2.0 */
/* An HTTP server in virtual time whose handler answers by path, and a peer that talks to it.
 *
 *   /later   is answered by the test (exchange in `waiting`)
 *   /stream  a chunked stream is begun, the test writes and ends it (`waiting`)
 *   /ws      becomes a WebSocket, which says nothing
 *   /forbidden  refuses a body
 *   /ask     waits with its body for the test (`asked`); then as the others
 *   others   200 and an echo: "METHOD path?query|body" */
#ifndef TESTS_NET_FAKE_HTTP_H
#define TESTS_NET_FAKE_HTTP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake_peer.h"
#include "net/http1.h"

enum {
    FAKE_HEAD_MAX_BYTES = 1000,
    FAKE_BODY_MAX_BYTES = 2000,
    FAKE_BODIES_MAX_BYTES = 5000,
    FAKE_SMALL_BYTES = 100,
    FAKE_OUT_MAX_BYTES = 10000,
    FAKE_CONNECTIONS_MAX = 3,
    FAKE_LINGERING_MAX = 2,
    FAKE_GREETINGS_MAX = 2,
    FAKE_MEMORY_BYTES = 1 << 20,
    FAKE_SOCKETS_MAX = 8
};

#define FAKE_DATE "Date: Mon, 23 Nov 2026 20:51:07 GMT\r\n" /* virtual time begins here */

struct fake_http {
    struct loop *l;
    struct http_server *server;
    struct budget memory; /* of everything; nothing of it is left at the end */
    uint16_t port;
    struct fake_peer peer;
    struct buf seen;  /* a line for each request: the echo and its headers */
    int greetings[4]; /* TLS handshakes, by enum tls_greeting */
    int requests, rejects, aborts, abort_reason, drains;
    struct http_exchange *waiting, *asked;
    struct ws_conn *sockets[FAKE_SOCKETS_MAX];
    int n_sockets;
};

/* cmocka's setup and teardown: *state becomes a struct fake_http with a connected peer. */
int fake_http_setup(void **state);
int fake_http_teardown(void **state);

/* Give the peer up and connect anew, with nothing seen. */
void fake_http_again(struct fake_http *h);
/* Everything that the peer has read so far. */
const char *fake_http_answer(struct fake_http *h);
/* Whether the first answer has this status. */
bool fake_http_status(struct fake_http *h, int status);

#define T(test) cmocka_unit_test_setup_teardown(test, fake_http_setup, fake_http_teardown)

#endif
