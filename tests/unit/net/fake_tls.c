/* SPDX-License-Identifier: Apache-2.0 */
/* The client's end of a TLS connection, driven by hand. */
#include "fake_tls.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static int on_ticket(SSL *ssl, SSL_SESSION *ticket)
{
    struct fake_tls *t = SSL_get_app_data(ssl);

    SSL_SESSION_free(t->ticket);
    t->ticket = ticket;
    return 1;
}

static void begin(struct fake_tls *t, struct fake_peer *p)
{
    t->peer = p;
    t->ended = t->failed = false;
    t->ssl = SSL_new(t->ctx);
    t->in = BIO_new(BIO_s_mem());
    t->out = BIO_new(BIO_s_mem());
    assert_true(t->ssl && t->in && t->out);
    SSL_set_bio(t->ssl, t->in, t->out);
    SSL_set_app_data(t->ssl, t);
    SSL_set_connect_state(t->ssl);
    if (t->ticket)
        assert_int_equal(SSL_set_session(t->ssl, t->ticket), 1);
}

void fake_tls_begin(struct fake_tls *t, struct fake_peer *p, int max_version, const char *alpn)
{
    *t = (struct fake_tls){.ctx = SSL_CTX_new(TLS_client_method())};
    buf_init(&t->got, 64 << 20);
    assert_non_null(t->ctx);
    SSL_CTX_set_session_cache_mode(t->ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(t->ctx, on_ticket);
    if (max_version) {
        SSL_CTX_set_security_level(t->ctx, 0); /* the old versions are offered at all */
        SSL_CTX_set_min_proto_version(t->ctx, TLS1_VERSION);
        SSL_CTX_set_max_proto_version(t->ctx, max_version);
    }
    if (alpn)
        assert_int_equal(
            SSL_CTX_set_alpn_protos(t->ctx, (const unsigned char *)alpn, (unsigned)strlen(alpn)),
            0);
    begin(t, p);
}

static bool fake_tls_read(struct fake_tls *t)
{
    bool any = false;
    char bytes[4096];
    int n = 1;

    ERR_clear_error();
    while (!t->ended && !t->failed && n > 0) {
        n = SSL_read(t->ssl, bytes, sizeof bytes);
        any |= n > 0;
        if (n > 0)
            assert_int_equal(buf_append(&t->got, bytes, (size_t)n), 0);
        else if (SSL_get_error(t->ssl, n) == SSL_ERROR_ZERO_RETURN)
            t->ended = true;
        else if (SSL_get_error(t->ssl, n) != SSL_ERROR_WANT_READ)
            t->failed = true;
    }
    ERR_clear_error();
    return any;
}

void fake_tls_pump(struct fake_tls *t)
{
    bool moved = true;

    while (moved) {
        struct str sealed;
        char *out;
        long n;

        moved = fake_tls_read(t);
        n = BIO_get_mem_data(t->out, &out);
        if (n > 0) {
            (void)fake_peer_send(t->peer, (struct str){out, (size_t)n});
            (void)BIO_reset(t->out);
            moved = true;
        }
        sealed = fake_peer_read(t->peer);
        if (sealed.n > 0) {
            assert_int_equal(BIO_write(t->in, sealed.p, (int)sealed.n), (int)sealed.n);
            buf_clear(&t->peer->got);
            moved = true;
        }
    }
}

bool fake_tls_open(struct fake_tls *t)
{
    fake_tls_pump(t);
    return SSL_is_init_finished(t->ssl) && !t->failed;
}

void fake_tls_send(struct fake_tls *t, struct str bytes)
{
    fake_tls_pump(t);
    assert_int_equal(SSL_write(t->ssl, bytes.p, (int)bytes.n), (int)bytes.n);
    fake_tls_pump(t);
}

const char *fake_tls_answer(struct fake_tls *t)
{
    fake_tls_pump(t);
    assert_int_equal(buf_append(&t->got, "", 1), 0); /* the NUL is not counted */
    t->got.len--;
    return buf_view(&t->got).p;
}

bool fake_tls_is_named(const struct fake_tls *t, const char *name)
{
    X509 *x = SSL_get0_peer_certificate(t->ssl);

    return x && X509_check_host(x, name, 0, 0, NULL) == 1;
}

void fake_tls_again(struct fake_tls *t, struct fake_peer *p)
{
    (void)SSL_shutdown(t->ssl); /* otherwise its ticket is no good any more */
    SSL_free(t->ssl);
    buf_clear(&t->got);
    begin(t, p);
}

void fake_tls_free(struct fake_tls *t)
{
    SSL_free(t->ssl);
    SSL_SESSION_free(t->ticket);
    SSL_CTX_free(t->ctx);
    buf_free(&t->got);
}
