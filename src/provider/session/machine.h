/* SPDX-License-Identifier: Apache-2.0 */
/* What a provider says about itself to every coordinator: collected once at start, borrowed by the
 * session for its whole life. */
#ifndef DARKBLOOM_PROVIDER_SESSION_MACHINE_H
#define DARKBLOOM_PROVIDER_SESSION_MACHINE_H

#include "proto/provider_msg.h"

struct machine {
    const char *root; /* before /proc and /sys paths: "" on a real machine */
    struct msg_hardware hardware;
    struct str os_version;  /* "Linux 6.1.0" */
    struct str binary_hash; /* lower-case hex SHA-256 of the running program */
    struct str backend;     /* announced: "inprocess-llama" */
    struct str version;
    struct str public_key;  /* base64 of the X25519 key: one pair a process */
    struct str auth_token;  /* .p NULL: none */
    struct msg_model model; /* the one that is served */
    int64_t max_running;    /* rows that run at once */
    bool engine_in_process;
};

#endif
