/* SPDX-License-Identifier: Apache-2.0 */
/* The canonical status of a challenge answer: compact JSON, keys sorted bytewise, absent fields
 * left out, UTF-8 unescaped (the form of the existing Rust provider). Provider signs it,
 * coordinator rebuilds and verifies it. Verifiers also accept the Go form (< > & U+2028 U+2029
 * escaped), which differs in nothing else. */
#ifndef DARKBLOOM_PROTO_STATUS_H
#define DARKBLOOM_PROTO_STATUS_H

#include "proto/provider_msg.h"

/* Append the canonical bytes. grpc_binary_hash and image_bridge_hash exist in the form but are sent
 * by nobody; .p NULL leaves them out. */
struct status_input {
    struct str nonce, timestamp;
    int hypervisor_active, rdma_disabled, sip_enabled, secure_boot_enabled; /* PROTO_TRI_* */
    struct str active_model_hash, binary_hash, grpc_binary_hash, image_bridge_hash, python_hash,
        runtime_hash;
    struct proto_map model_hashes, template_hashes;
};

int status_canonical(const struct status_input *in, struct buf *out);

/* Append the Go form of these canonical bytes. 0, ERR_LIMIT, ERR_NOMEM. */
int status_go_form(struct str canonical, struct buf *out);

/* Bytes of keys and values of the maps, for a limit that comes before they are sorted; SIZE_MAX
 * when one has more than PROTO_LIST_MAX pairs. */
size_t status_map_bytes(const struct status_input *in);

/* The input that a challenge answer stands for. */
struct status_input status_of_response(const struct msg_attestation_response *m,
                                       struct str timestamp);

/* Whether the text has the form of a time of RFC 3339 §5.6: "2026-11-23T20:51:07Z", with or without
 * a fraction, Z or an offset. */
enum { STATUS_TIMESTAMP_MAX_BYTES = 40 };
bool status_is_timestamp(struct str t);

#endif
