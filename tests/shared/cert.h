/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates made for a test: a P-256 key and what it signs of itself, as PEM files in a
 * directory of the test's own. */
#ifndef TESTS_SHARED_CERT_H
#define TESTS_SHARED_CERT_H

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"

struct cert_files {
    char dir[64], cert[96], key[96];
};

static inline void cert_write(const struct cert_files *f, EVP_PKEY *key, X509 *x)
{
    FILE *cert = fopen(f->cert, "we"), *k = fopen(f->key, "we");

    CHECK(cert && PEM_write_X509(cert, x) == 1 && fclose(cert) == 0);
    CHECK(k && fchmod(fileno(k), 0600) == 0);
    CHECK(PEM_write_PrivateKey(k, key, NULL, NULL, 0, NULL, NULL) == 1 && fclose(k) == 0);
}

/* A new key and certificate for `name` (and 127.0.0.1), in the files that there may be already. */
static inline void cert_renew(const struct cert_files *f, const char *name)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    X509_EXTENSION *alt;
    char names[128];

    CHECK(key && x);
    CHECK(ASN1_INTEGER_set(X509_get_serialNumber(x), 1) == 1);
    X509_set_version(x, X509_VERSION_3);
    X509_gmtime_adj(X509_getm_notBefore(x), -3600);
    X509_gmtime_adj(X509_getm_notAfter(x), 86400);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                               (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(x));
    snprintf(names, sizeof names, "DNS:%s,IP:127.0.0.1", name);
    alt = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, names);
    CHECK(alt && X509_add_ext(x, alt, -1) == 1);
    X509_EXTENSION_free(alt);
    X509_set_pubkey(x, key);
    CHECK(X509_sign(x, key, EVP_sha256()) > 0);
    cert_write(f, key, x);
    X509_free(x);
    EVP_PKEY_free(key);
}

static inline void cert_make(struct cert_files *f, const char *name)
{
    snprintf(f->dir, sizeof f->dir, "/tmp/darkbloom-cert-XXXXXX");
    CHECK(mkdtemp(f->dir));
    snprintf(f->cert, sizeof f->cert, "%s/cert.pem", f->dir);
    snprintf(f->key, sizeof f->key, "%s/key.pem", f->dir);
    cert_renew(f, name);
}

static inline void cert_remove(const struct cert_files *f)
{
    (void)unlink(f->cert);
    (void)unlink(f->key);
    (void)rmdir(f->dir);
}

#endif
