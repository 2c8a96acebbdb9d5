/* SPDX-License-Identifier: Apache-2.0 */
/* TLS 1.2 and 1.3 (RFC 5246, RFC 8446) by OpenSSL, over a loop's socket: a context is what all
 * connections share, a struct tls is one connection's. It reads and writes the socket itself, so
 * that besides OpenSSL's own records nothing is buffered twice. See docs/internals/tls.md. */
#ifndef DARKBLOOM_NET_TLS_H
#define DARKBLOOM_NET_TLS_H

#include "net/loop.h"

enum {
    /* The most that OpenSSL holds for a connection: until its handshake is done (a ClientHello may
     * announce 128 KiB, and memory for it is made then), and after it (a record each way). */
    TLS_GREETING_BYTES = 256 << 10,
    TLS_OPEN_BYTES = 72 << 10
};

/* --- what connections share --- */

/* Immutable, counted, from any thread. */
struct tls_context;

struct tls_files {
    const char *cert_path, *key_path; /* PEM: the certificate first, then those that sign it */
    const char *cert_name, *key_name; /* in errors: the settings that name the files */
};

/* A server's: ALPN "http/1.1", session tickets, no client certificates, no renegotiation, no
 * compression, no early data. The key's file may be readable by its owner alone, or, where that is
 * root and we are not, by its group too. ERR_CONFIG with a text that names setting and file. */
int tls_context_new(const struct tls_files *files, struct tls_context **ret_context,
                    struct err *ret_err);
/* A client's: it demands a certificate that one of the system's authorities signed, or one in
 * `ca_path` (a PEM file that the setting `ca_name` names; empty: there is none). ERR_CONFIG
 * likewise.
 */
int tls_context_new_client(const char *ca_path, const char *ca_name,
                           struct tls_context **ret_context, struct err *ret_err);
/* One more owner; NULL is allowed and returned. */
struct tls_context *tls_context_ref(struct tls_context *ctx);
/* One owner less. NULL is allowed. */
void tls_context_free(struct tls_context *ctx);
/* When a server's certificate ends: seconds since 1970. */
int64_t tls_context_expires_s(const struct tls_context *ctx);

/* --- a connection --- */

/* How a handshake ended. */
enum tls_greeting {
    TLS_GREETING_DONE,
    TLS_GREETING_RESUMED,
    TLS_GREETING_FAILED,
    TLS_GREETING_TIMEOUT
};

struct tls;

/* One end on `sock`, which stays the caller's: the server's (`host` NULL), or that of a client
 * which demands that the certificate is `host`'s, a name or an address. Nothing is said or read
 * yet: reading and writing do the handshake as they go. 0 or ERR_NOMEM. */
int tls_new(struct tls_context *ctx, struct loop *l, int sock, const char *host,
            struct tls **ret_tls);
/* Says nothing to the peer: see tls_end. NULL is allowed. */
void tls_free(struct tls *t);
/* The socket is on another loop now. */
void tls_move(struct tls *t, struct loop *l);

/* As loop_recv, of what the peer sealed: at most one record a call. 0: the peer said that it sends
 * no more. ERR_CLOSED also where the peer does not speak TLS, or cut the stream; it was then told
 * so, as far as it can be told. */
ssize_t tls_recv(struct tls *t, void *ret_bytes, size_t cap);
/* As loop_sendv: at most one record a call. After ERR_AGAIN the next call must begin with the same
 * bytes, wherever they are now. */
ssize_t tls_send(struct tls *t, const void *bytes, size_t n);
/* Say that nothing more will be sent (close_notify). 0, ERR_AGAIN (call again) or ERR_CLOSED. */
int tls_end(struct tls *t);

/* Bytes that tls_recv has without asking the socket. */
size_t tls_pending(const struct tls *t);
/* Which of the two waits until the socket takes bytes. */
bool tls_recv_wants_write(const struct tls *t);
bool tls_send_wants_write(const struct tls *t);
/* Bytes that the socket took, sealed. */
uint64_t tls_taken_total(const struct tls *t);
/* The handshake is done. */
bool tls_is_open(const struct tls *t);
/* By a ticket of an earlier connection. */
bool tls_is_resumed(const struct tls *t);
/* Why it failed, in OpenSSL's words; NULL: it did not, or only the socket did. */
const char *tls_why(const struct tls *t);

#endif
