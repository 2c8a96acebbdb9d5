/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by tls.c and tls_context.c. Private to net/. */
#ifndef DARKBLOOM_NET_TLS_IMPL_H
#define DARKBLOOM_NET_TLS_IMPL_H

#include <openssl/ssl.h>
#include <stdatomic.h>

#include "net/tls.h"

struct tls_context {
    _Atomic unsigned owners;
    SSL_CTX *ctx;
    BIO_METHOD *socket; /* a loop's socket as OpenSSL wants it; the BIO's data is a struct tls */
    int64_t expires_s;
};

/* tls.c */
BIO_METHOD *tls_socket_method(void);

#endif
