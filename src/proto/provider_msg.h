/* SPDX-License-Identifier: Apache-2.0 */
/* What a provider and the coordinator say to each other over /ws/provider: wire format version 1
 * of the existing system, byte-compatible both ways. Every message is declared once in
 * provider_msg.def; decoder, encoder, name table and the reference (src/docs/, `make docs`) come
 * from it.
 *
 * Optional fields: strings with .p == NULL, integers with PROTO_UNSET, bools with PROTO_TRI_UNSET
 * are absent. Unknown fields are ignored, unknown types reported as MSG_UNKNOWN. */
#ifndef DARKBLOOM_PROTO_PROVIDER_MSG_H
#define DARKBLOOM_PROTO_PROVIDER_MSG_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "proto/shape.h"

enum msg_type {
    MSG_UNKNOWN,
    /* provider → coordinator */
    MSG_REGISTER,
    MSG_HEARTBEAT,
    MSG_INFERENCE_ACCEPTED,
    MSG_INFERENCE_RESPONSE_CHUNK,
    MSG_INFERENCE_COMPLETE,
    MSG_INFERENCE_ERROR,
    MSG_ATTESTATION_RESPONSE,
    MSG_LOAD_MODEL_STATUS,
    /* coordinator → provider */
    MSG_INFERENCE_REQUEST,
    MSG_CANCEL,
    MSG_ATTESTATION_CHALLENGE,
    MSG_RUNTIME_STATUS,
    MSG_LOAD_MODEL,
    MSG_COUNT
};

struct msg_cpu_cores {
    int64_t total, performance, efficiency;
};

struct msg_hardware {
    struct str machine_model, chip_name, chip_family, chip_tier;
    int64_t memory_gb;
    double memory_available_gb;
    struct msg_cpu_cores cpu_cores;
    int64_t gpu_cores;
    double memory_bandwidth_gbs;
};

struct msg_model {
    struct str id;
    int64_t size_bytes;
    struct str model_type, quantization, weight_hash;
    /* ours, optional; old peers ignore them */
    int64_t context_length;           /* tokens a sequence may hold */
    struct str numerics;              /* "invariant" or "fast" */
    int64_t template_overhead_tokens; /* beyond one token a prompt byte */
};

struct msg_privacy {
    bool text_backend_inprocess, text_proxy_disabled, python_runtime_locked,
        dangerous_modules_blocked, sip_enabled, anti_debug_enabled, core_dumps_disabled,
        env_scrubbed, hypervisor_active;
};

struct msg_register {
    struct msg_hardware hardware;
    struct msg_model *models;
    size_t n_models;
    struct str backend, version, public_key;
    bool encrypted_response_chunks;
    struct str wallet_address;
    struct str attestation;         /* RAW: {"attestation":{...},"signature":"..."} as received */
    double prefill_tps, decode_tps; /* 0: absent */
    struct str auth_token, python_hash, runtime_hash;
    struct proto_map template_hashes;
    bool has_privacy_capabilities;
    struct msg_privacy privacy_capabilities;
};

struct msg_stats {
    int64_t requests_served, tokens_generated;
    int64_t forward_passes; /* ours, optional */
};

struct msg_system_metrics {
    double memory_pressure, cpu_usage; /* 0..1 */
    struct str thermal_state;          /* nominal, fair, serious, critical */
};

struct msg_slot {
    struct str model, state; /* running, idle_shutdown, crashed, reloading */
    int64_t num_running, num_waiting, active_tokens, max_tokens_potential;
};

struct msg_backend_capacity {
    struct msg_slot *slots;
    size_t n_slots;
    double gpu_memory_active_gb, gpu_memory_peak_gb, gpu_memory_cache_gb, total_memory_gb;
    int64_t max_running; /* ours, optional: rows that run at once */
};

struct msg_heartbeat {
    struct str status;       /* idle, serving */
    struct str active_model; /* null when absent */
    struct msg_stats stats;
    struct proto_strs warm_models;
    struct msg_system_metrics system_metrics;
    bool has_backend_capacity;
    struct msg_backend_capacity backend_capacity;
};

struct msg_inference_accepted {
    struct str request_id;
    int64_t prompt_tokens; /* ours, optional */
};

struct msg_envelope {
    struct str ephemeral_public_key, ciphertext;
};

struct msg_inference_response_chunk {
    struct str request_id;
    struct str data; /* plaintext: forbidden, its presence is what is checked */
    bool has_encrypted_data;
    struct msg_envelope encrypted_data;
    int64_t tokens; /* ours, optional: completion tokens this chunk stands for */
};

struct msg_usage {
    int64_t prompt_tokens, completion_tokens;
};

struct msg_inference_complete {
    struct str request_id;
    struct msg_usage usage;
    struct str se_signature, response_hash;
};

struct msg_inference_error {
    struct str request_id, error;
    int64_t status_code;
    struct str code, param; /* ours, optional: see provider_errors.def */
    /* Ours, optional, of code context_length_exceeded. */
    int64_t prompt_tokens, context_tokens;
};

struct msg_attestation_response {
    struct str nonce, signature, status_signature, public_key;
    int hypervisor_active, rdma_disabled, sip_enabled, secure_boot_enabled; /* PROTO_TRI_* */
    struct str binary_hash, active_model_hash, python_hash, runtime_hash;
    struct proto_map template_hashes, model_hashes;
};

struct msg_load_model_status {
    struct str model_id, status, error; /* started, succeeded, failed */
};

struct msg_inference_request {
    struct str request_id;
    bool has_encrypted_body;
    struct msg_envelope encrypted_body;
};

struct msg_cancel {
    struct str request_id;
};

struct msg_attestation_challenge {
    struct str nonce, timestamp;
};

struct msg_mismatch {
    struct str component, expected, got;
};

struct msg_runtime_status {
    bool verified;
    struct msg_mismatch *mismatches;
    size_t n_mismatches;
};

struct msg_load_model {
    struct str model_id;
};

struct provider_msg {
    enum msg_type type;
    struct str type_name; /* as received, for counting unknown ones */
    union {
        struct msg_register reg;
        struct msg_heartbeat heartbeat;
        struct msg_inference_accepted accepted;
        struct msg_inference_response_chunk chunk;
        struct msg_inference_complete complete;
        struct msg_inference_error error;
        struct msg_attestation_response attestation;
        struct msg_load_model_status load_status;
        struct msg_inference_request request;
        struct msg_cancel cancel;
        struct msg_attestation_challenge challenge;
        struct msg_runtime_status runtime_status;
        struct msg_load_model load_model;
    };
};

/* Decode one frame. Strings in *ret_msg point into the scratch and live until its next use, or into
 * `frame` (RAW fields, and a chunk that sealed_msg.h reads). 0 (also for unknown types:
 * MSG_UNKNOWN), or what closes the link: ERR_PARSE (not JSON, not an object), ERR_TYPE (wrong type
 * in a known field, fraction in an integer field), ERR_MISSING (request_id or nonce absent where
 * the message means nothing without), ERR_LIMIT. A null in a known field counts as absent.
 * Duplicate keys: the last one wins, except inside attested objects (see span.h). No heap
 * allocation for frames that yyjson can parse within 1 MiB. */
int provider_msg_decode(struct proto_scratch *scratch, struct str frame,
                        struct provider_msg *ret_msg, struct err *ret_err);

/* Append the compact JSON of `msg` (absent fields omitted, as the existing system writes them). 0,
 * ERR_LIMIT, ERR_NOMEM. */
int provider_msg_encode(const struct provider_msg *msg, struct buf *out);

/* "inference_response_chunk"; NULL for MSG_UNKNOWN. */
const char *msg_type_name(enum msg_type type);
/* Its fields; not for MSG_UNKNOWN. */
const struct shape *msg_shape(enum msg_type type);

#endif
