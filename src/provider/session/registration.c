/* SPDX-License-Identifier: Apache-2.0 */
/* The register message and the signed statement in it. */
#include "provider/session/registration.h"

#include "provider/guard/posture.h"

struct signer_statement registration_statement(const struct machine *machine, int64_t wall_us,
                                               char ret_timestamp[static CLOCK_RFC3339_BYTES])
{
    struct posture posture = posture_measure(machine->root);

    clock_rfc3339(wall_us, ret_timestamp);
    return (struct signer_statement){.kind = SIGN_BLOB,
                                     .blob = {.binary_hash = machine->binary_hash,
                                              .chip_name = machine->hardware.chip_name,
                                              .encryption_public_key = machine->public_key,
                                              .hardware_model = machine->hardware.machine_model,
                                              .os_version = machine->os_version,
                                              .timestamp = str_from(ret_timestamp),
                                              .rdma_disabled = posture.rdma_disabled,
                                              .secure_boot = posture.secure_boot}};
}

int registration_write(const struct machine *machine, struct str attestation, struct buf *out)
{
    struct posture posture = posture_measure(machine->root);
    struct msg_model model = machine->model;
    struct provider_msg msg = {
        .type = MSG_REGISTER,
        .reg = {.hardware = machine->hardware,
                .models = &model,
                .n_models = 1,
                .backend = machine->backend,
                .version = machine->version,
                .public_key = machine->public_key,
                .encrypted_response_chunks = true,
                .attestation = attestation,
                .auth_token = machine->auth_token,
                .has_privacy_capabilities = true,
                .privacy_capabilities = posture_privacy(&posture, machine->engine_in_process)}};

    return provider_msg_encode(&msg, out);
}
