/* SPDX-License-Identifier: Apache-2.0 */
/* The client's end of a TLS connection over a struct fake_peer, driven by hand. It believes every
 * certificate, and shows whose it was. */
#ifndef TESTS_NET_FAKE_TLS_H
#define TESTS_NET_FAKE_TLS_H

#include <openssl/ssl.h>

#include "fake_peer.h"

struct fake_tls {
    struct fake_peer *peer;
    SSL_CTX *ctx;
    SSL *ssl;
    BIO *in, *out;
    SSL_SESSION *ticket; /* the last one given; the next connection offers it */
    struct buf got;      /* what was opened */
    bool ended;          /* by close_notify */
    bool failed;
};

/* Offers TLS up to `max_version` (0: any) and these protocols (NULL: none; "\x02h2"). Says nothing
 * yet. */
void fake_tls_begin(struct fake_tls *t, struct fake_peer *p, int max_version, const char *alpn);
/* Carry what there is both ways until nothing moves and no time passes; with it the handshake. */
void fake_tls_pump(struct fake_tls *t);
/* Whether the handshake is done, after pumping. */
bool fake_tls_open(struct fake_tls *t);
void fake_tls_send(struct fake_tls *t, struct str bytes);
/* Everything opened so far, NUL-terminated. */
const char *fake_tls_answer(struct fake_tls *t);
/* Whether the server's certificate names this. */
bool fake_tls_is_named(const struct fake_tls *t, const char *name);
/* Another connection of the same client, over a peer connected anew. */
void fake_tls_again(struct fake_tls *t, struct fake_peer *p);
void fake_tls_free(struct fake_tls *t);

#endif
