/* SPDX-License-Identifier: Apache-2.0 */
/* The coordinator's address, taken apart. */
#ifndef DARKBLOOM_PROVIDER_SESSION_URL_H
#define DARKBLOOM_PROVIDER_SESSION_URL_H

#include "base/err.h"
#include "base/str.h"

enum { COORDINATOR_HOST_BYTES = 254, COORDINATOR_PATH_BYTES = 1024 };

struct coordinator_url {
    char host[COORDINATOR_HOST_BYTES]; /* name or address, an IPv6 one without its brackets */
    uint16_t port;                     /* 80, or 443 with TLS, when the URL names none */
    bool tls;                          /* wss:// */
    char path[COORDINATOR_PATH_BYTES]; /* "/ws/provider" when the URL names none */
};

/* Take apart ws://HOST[:PORT][/PATH], or wss:// (RFC 6455 §3). 0, or ERR_CONFIG with what to do. */
int coordinator_url_parse(struct str text, struct coordinator_url *ret_url, struct err *ret_err);

#endif
