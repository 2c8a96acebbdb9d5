/* SPDX-License-Identifier: Apache-2.0 */
/* A TLS connection over a loop's socket. OpenSSL is given a BIO that calls the loop, so that it
 * works on every loop, the fake one too, and never on a descriptor behind the loop's back. */
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include "net/loop_ops.h"
#include "net/tls_impl.h"

enum { RECORD_MAX_BYTES = SSL3_RT_MAX_PLAIN_LENGTH };

struct tls {
    struct tls_context *context;
    struct loop *loop;
    SSL *ssl;
    int sock;
    int retry_n;      /* of the send that did not go through: its record is sealed already */
    const char *why;  /* it failed: static */
    bool failed;      /* nothing may be sealed any more */
    bool recv_blocks; /* what it has to say waits for the socket */
    bool send_blocks;
    uint64_t taken;
};

/* --- the socket, as OpenSSL wants it --- */

static int tls_socket_read(BIO *b, char *ret_bytes, int cap)
{
    const struct tls *t = BIO_get_data(b);
    ssize_t n = loop_recv(t->loop, t->sock, ret_bytes, (size_t)cap);

    BIO_clear_retry_flags(b);
    if (n == ERR_AGAIN)
        BIO_set_retry_read(b);
    return n < 0 ? -1 : (int)n;
}

static int tls_socket_write(BIO *b, const char *bytes, int len)
{
    struct tls *t = BIO_get_data(b);
    const struct iovec iov = {(void *)bytes, (size_t)len};
    ssize_t n = loop_sendv(t->loop, t->sock, &iov, 1);

    BIO_clear_retry_flags(b);
    if (n == ERR_AGAIN)
        BIO_set_retry_write(b);
    if (n > 0)
        t->taken += (uint64_t)n;
    return n < 0 ? -1 : (int)n;
}

static long tls_socket_ctrl(BIO *b, int cmd, long num, void *ptr)
{
    (void)b;
    (void)num;
    (void)ptr;
    return cmd == BIO_CTRL_FLUSH; /* nothing is kept back */
}

BIO_METHOD *tls_socket_method(void)
{
    BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "loop socket");

    if (m && BIO_meth_set_read(m, tls_socket_read) == 1 &&
        BIO_meth_set_write(m, tls_socket_write) == 1 && BIO_meth_set_ctrl(m, tls_socket_ctrl) == 1)
        return m;
    BIO_meth_free(m);
    return NULL;
}

/* --- life --- */

/* The certificate must be for `host`; a name is also said, for servers that have several. */
static bool tls_demand_host(SSL *ssl, const char *host)
{
    SSL_set_connect_state(ssl);
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1)
        return true;
    return SSL_set_tlsext_host_name(ssl, host) == 1 && SSL_set1_host(ssl, host) == 1;
}

int tls_new(struct tls_context *ctx, struct loop *l, int sock, const char *host,
            struct tls **ret_tls)
{
    struct tls *t = calloc(1, sizeof *t);
    BIO *b = t ? BIO_new(ctx->socket) : NULL;

    if (b)
        t->ssl = SSL_new(ctx->ctx);
    if (b && t->ssl && host && !tls_demand_host(t->ssl, host)) {
        SSL_free(t->ssl);
        t->ssl = NULL;
    }
    if (!b || !t->ssl) {
        BIO_free(b);
        free(t);
        ERR_clear_error();
        return ERR_NOMEM;
    }
    t->context = tls_context_ref(ctx);
    t->loop = l;
    t->sock = sock;
    BIO_set_data(b, t);
    BIO_set_init(b, 1);
    SSL_set_bio(t->ssl, b, b);
    if (!host)
        SSL_set_accept_state(t->ssl);
    ERR_clear_error();
    *ret_tls = t;
    return 0;
}

void tls_free(struct tls *t)
{
    if (!t)
        return;
    SSL_free(t->ssl);
    tls_context_free(t->context);
    free(t);
}

void tls_move(struct tls *t, struct loop *l)
{
    t->loop = l;
}

/* --- bytes --- */

/* What OpenSSL's refusal means: ERR_AGAIN, 0 (the peer has ended) or ERR_CLOSED. */
static int tls_meaning(struct tls *t, int ret, bool *ret_blocks)
{
    switch (SSL_get_error(t->ssl, ret)) {
    case SSL_ERROR_WANT_READ:
        return ERR_AGAIN;
    case SSL_ERROR_WANT_WRITE:
        *ret_blocks = true;
        return ERR_AGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    default:
        t->failed = true;
        if (SSL_get_verify_result(t->ssl) != X509_V_OK)
            t->why = X509_verify_cert_error_string(SSL_get_verify_result(t->ssl));
        else if (ERR_peek_error() != 0)
            t->why = ERR_reason_error_string(ERR_peek_error());
        return ERR_CLOSED;
    }
}

/* The peer sent what is no TLS, or the wrong one; OpenSSL has said so with an alert. A browser or a
 * probe that speaks plain HTTP understands only that. What it has sent is read away: closing over
 * unread bytes resets the connection, and it would see neither. */
static void tls_turn_away(struct tls *t)
{
    static const char plain[] = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\n"
                                "Content-Length: 36\r\nConnection: close\r\n\r\n"
                                "This port speaks TLS: use https://.\n";
    const struct iovec iov = {(void *)plain, sizeof plain - 1};

    if (ERR_GET_REASON(ERR_peek_error()) == SSL_R_HTTP_REQUEST)
        (void)loop_sendv(t->loop, t->sock, &iov, 1);
    loop_shutdown(t->loop, t->sock);
    (void)loop_recv(t->loop, t->sock, t->loop->scratch, LOOP_SCRATCH_BYTES);
}

ssize_t tls_recv(struct tls *t, void *ret_bytes, size_t cap)
{
    size_t n = 0;
    int ret, rc;

    if (t->failed)
        return ERR_CLOSED;
    ERR_clear_error();
    t->recv_blocks = false;
    ret = SSL_read_ex(t->ssl, ret_bytes, cap, &n);
    if (ret == 1)
        return (ssize_t)n;
    rc = tls_meaning(t, ret, &t->recv_blocks);
    if (rc == ERR_CLOSED && ERR_peek_error() != 0)
        tls_turn_away(t);
    ERR_clear_error();
    return rc;
}

ssize_t tls_send(struct tls *t, const void *bytes, size_t n)
{
    int len = n < RECORD_MAX_BYTES ? (int)n : RECORD_MAX_BYTES;
    int ret, rc;

    if (t->failed)
        return ERR_CLOSED;
    if (t->retry_n > 0)
        len = t->retry_n;
    ERR_clear_error();
    t->send_blocks = false;
    t->retry_n = 0;
    ret = SSL_write(t->ssl, bytes, len);
    if (ret > 0)
        return ret;
    rc = tls_meaning(t, ret, &t->send_blocks);
    if (rc == ERR_AGAIN && SSL_is_init_finished(t->ssl))
        t->retry_n = len;
    ERR_clear_error();
    return rc == ERR_AGAIN ? ERR_AGAIN : ERR_CLOSED;
}

int tls_end(struct tls *t)
{
    int ret, rc = 0;

    if (t->failed || !SSL_is_init_finished(t->ssl))
        return ERR_CLOSED;
    ERR_clear_error();
    t->send_blocks = false;
    ret = SSL_shutdown(t->ssl); /* 0: said, and the peer has not said it yet */
    if (ret < 0)
        rc = tls_meaning(t, ret, &t->send_blocks) == ERR_AGAIN && t->send_blocks ? ERR_AGAIN
                                                                                 : ERR_CLOSED;
    ERR_clear_error();
    return rc;
}

/* --- state --- */

size_t tls_pending(const struct tls *t)
{
    return t->failed ? 0 : (size_t)SSL_pending(t->ssl);
}

bool tls_recv_wants_write(const struct tls *t)
{
    return t->recv_blocks;
}

bool tls_send_wants_write(const struct tls *t)
{
    return t->send_blocks;
}

uint64_t tls_taken_total(const struct tls *t)
{
    return t->taken;
}

bool tls_is_open(const struct tls *t)
{
    return SSL_is_init_finished(t->ssl);
}

const char *tls_why(const struct tls *t)
{
    return t->why;
}

bool tls_is_resumed(const struct tls *t)
{
    return SSL_session_reused(t->ssl) == 1;
}
