/* SPDX-License-Identifier: Apache-2.0 */
/* What TLS connections share: certificate, key, and what is agreed to. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "net/tls_impl.h"

enum { KEY_FILE_MAX_BYTES = 64 << 10 };

/* OpenSSL's last word, for people. */
static const char *tls_reason(void)
{
    const char *text = ERR_reason_error_string(ERR_peek_last_error());

    return text ? text : "no reason was given";
}

/* Nobody is there to type one: OpenSSL would ask the terminal. */
static int tls_no_passphrase(char *text, int size, int rwflag, void *ud)
{
    (void)text;
    (void)size;
    (void)rwflag;
    (void)ud;
    return -1;
}

/* --- files --- */

static int tls_load_cert(SSL_CTX *ctx, const struct tls_files *f, struct err *ret_err)
{
    if (access(f->cert_path, R_OK) < 0)
        return err_set(ret_err, ERR_CONFIG, "%s: the file `%s` cannot be read: %s", f->cert_name,
                       f->cert_path, strerror(errno));
    if (SSL_CTX_use_certificate_chain_file(ctx, f->cert_path) == 1)
        return 0;
    return err_set(ret_err, ERR_CONFIG,
                   "%s: the file `%s` is no certificate in PEM form that can be used: %s",
                   f->cert_name, f->cert_path, tls_reason());
}

/* A group that root lets in is the administrator's word (Debian's ssl-cert, systemd's credentials);
 * any other reader is a mistake. */
static int tls_check_mode(int fd, const struct tls_files *f, struct err *ret_err)
{
    struct stat st;
    mode_t refused;

    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > KEY_FILE_MAX_BYTES)
        return err_set(ret_err, ERR_CONFIG, "%s: `%s` is no file of at most %d bytes", f->key_name,
                       f->key_path, KEY_FILE_MAX_BYTES);
    refused = st.st_uid == 0 && geteuid() != 0 ? S_IWGRP | S_IXGRP | S_IRWXO : S_IRWXG | S_IRWXO;
    if (!(st.st_mode & refused))
        return 0;
    return err_set(ret_err, ERR_CONFIG,
                   "%s: others may use the file `%s` (its mode is %04o); chmod 600 it", f->key_name,
                   f->key_path, (unsigned)st.st_mode & 07777);
}

/* What is checked is what is read: the file is opened once. */
static int tls_read_key(const struct tls_files *f, char bytes[static KEY_FILE_MAX_BYTES],
                        int *ret_n, struct err *ret_err)
{
    int fd = open(f->key_path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), rc;
    ssize_t n = 1;
    int len = 0;

    if (fd < 0)
        return err_set(ret_err, ERR_CONFIG, "%s: the file `%s` cannot be read: %s", f->key_name,
                       f->key_path, strerror(errno));
    rc = tls_check_mode(fd, f, ret_err);
    while (rc == 0 && n > 0) {
        n = read(fd, bytes + len, (size_t)(KEY_FILE_MAX_BYTES - len));
        if (n < 0)
            rc = err_set(ret_err, ERR_CONFIG, "%s: the file `%s` cannot be read: %s", f->key_name,
                         f->key_path, strerror(errno));
        else
            len += (int)n;
    }
    (void)close(fd);
    *ret_n = rc == 0 ? len : *ret_n;
    return rc;
}

static EVP_PKEY *tls_parse_key(const char *bytes, int n)
{
    BIO *b = BIO_new_mem_buf(bytes, n);
    EVP_PKEY *key = b ? PEM_read_bio_PrivateKey(b, NULL, tls_no_passphrase, NULL) : NULL;

    BIO_free(b);
    return key;
}

static int tls_load_key(SSL_CTX *ctx, const struct tls_files *f, struct err *ret_err)
{
    char *bytes = malloc(KEY_FILE_MAX_BYTES);
    EVP_PKEY *key = NULL;
    int n = 0, rc;

    if (!bytes)
        return err_set(ret_err, ERR_NOMEM, "out of memory");
    rc = tls_read_key(f, bytes, &n, ret_err);
    if (rc == 0)
        key = tls_parse_key(bytes, n);
    if (rc == 0 && !key)
        rc = err_set(ret_err, ERR_CONFIG,
                     "%s: the file `%s` is no private key in PEM form without a passphrase: %s",
                     f->key_name, f->key_path, tls_reason());
    else if (rc == 0 && X509_check_private_key(SSL_CTX_get0_certificate(ctx), key) != 1)
        rc = err_set(ret_err, ERR_CONFIG,
                     "%s: the key in `%s` does not belong to the certificate of %s, `%s`",
                     f->key_name, f->key_path, f->cert_name, f->cert_path);
    else if (rc == 0 && SSL_CTX_use_PrivateKey(ctx, key) != 1)
        rc = err_set(ret_err, ERR_CONFIG, "%s: the key in `%s` cannot be used: %s", f->key_name,
                     f->key_path, tls_reason());
    EVP_PKEY_free(key);
    OPENSSL_cleanse(bytes, KEY_FILE_MAX_BYTES);
    free(bytes);
    return rc;
}

/* --- what is agreed to --- */

/* RFC 7301: who offers protocols, but not ours, is told that there is none. */
static int tls_select_alpn(SSL *ssl, const unsigned char **ret_name, unsigned char *ret_n,
                           const unsigned char *offered, unsigned n, void *ud)
{
    static const unsigned char ours[] = "\x08http/1.1";

    (void)ssl;
    (void)ud;
    if (SSL_select_next_proto((unsigned char **)ret_name, ret_n, ours, sizeof ours - 1, offered,
                              n) == OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_OK;
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static bool tls_set_up(SSL_CTX *ctx)
{
    SSL_CTX_set_options(ctx,
                        SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CLEANSE_PLAINTEXT);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_clear_mode(ctx, SSL_MODE_AUTO_RETRY); /* one record a call, whatever is in it */
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF); /* clients keep tickets instead */
    SSL_CTX_set_alpn_select_cb(ctx, tls_select_alpn, NULL);  /* the server's end */
    SSL_CTX_set_default_passwd_cb(ctx, tls_no_passphrase);
    return SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1;
}

static int64_t tls_cert_expires_s(const SSL_CTX *ctx)
{
    struct tm tm = {0};

    if (ASN1_TIME_to_tm(X509_get0_notAfter(SSL_CTX_get0_certificate(ctx)), &tm) != 1)
        return 0;
    return timegm(&tm);
}

/* NULL: no memory. */
static struct tls_context *tls_context_make(const SSL_METHOD *method)
{
    struct tls_context *c = calloc(1, sizeof *c);

    if (!c)
        return NULL;
    ERR_clear_error();
    c->owners = 1;
    c->ctx = SSL_CTX_new(method);
    c->socket = tls_socket_method();
    if (c->ctx && c->socket && tls_set_up(c->ctx))
        return c;
    tls_context_free(c);
    return NULL;
}

int tls_context_new_client(const char *ca_path, const char *ca_name,
                           struct tls_context **ret_context, struct err *ret_err)
{
    static const unsigned char ours[] = "\x08http/1.1";
    struct tls_context *c = tls_context_make(TLS_client_method());
    int rc = 0;

    if (!c)
        return err_set(ret_err, ERR_NOMEM, "out of memory for TLS");
    SSL_CTX_set_verify(c->ctx, SSL_VERIFY_PEER, NULL);
    if (SSL_CTX_set_alpn_protos(c->ctx, ours, sizeof ours - 1) != 0 ||
        SSL_CTX_set_default_verify_paths(c->ctx) != 1)
        rc = err_set(ret_err, ERR_NOMEM, "out of memory for TLS");
    else if (ca_path[0] && SSL_CTX_load_verify_file(c->ctx, ca_path) != 1)
        rc = err_set(ret_err, ERR_CONFIG,
                     "%s: the file `%s` has no certificates in PEM form that can be read: %s",
                     ca_name, ca_path, tls_reason());
    ERR_clear_error();
    if (rc < 0) {
        tls_context_free(c);
        return rc;
    }
    *ret_context = c;
    return 0;
}

int tls_context_new(const struct tls_files *files, struct tls_context **ret_context,
                    struct err *ret_err)
{
    struct tls_context *c = tls_context_make(TLS_server_method());
    int rc;

    if (!c)
        return err_set(ret_err, ERR_NOMEM, "out of memory for TLS");
    rc = tls_load_cert(c->ctx, files, ret_err);
    if (rc == 0)
        rc = tls_load_key(c->ctx, files, ret_err);
    ERR_clear_error();
    if (rc < 0) {
        tls_context_free(c);
        return rc;
    }
    c->expires_s = tls_cert_expires_s(c->ctx);
    *ret_context = c;
    return 0;
}

struct tls_context *tls_context_ref(struct tls_context *ctx)
{
    if (ctx)
        atomic_fetch_add_explicit(&ctx->owners, 1, memory_order_relaxed);
    return ctx;
}

void tls_context_free(struct tls_context *ctx)
{
    if (!ctx || atomic_fetch_sub_explicit(&ctx->owners, 1, memory_order_acq_rel) > 1)
        return;
    SSL_CTX_free(ctx->ctx);
    BIO_meth_free(ctx->socket);
    free(ctx);
}

int64_t tls_context_expires_s(const struct tls_context *ctx)
{
    return ctx->expires_s;
}
