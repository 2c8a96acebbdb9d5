/* SPDX-License-Identifier: Apache-2.0 */
/* What a provider says of its machine under its signature: the inner object of a register message's
 * attestation. One shape for who writes it and who reads it; the
 * signature is over the bytes as they stand, so order and omissions are part of the format. */
#ifndef DARKBLOOM_PROTO_ATTESTATION_H
#define DARKBLOOM_PROTO_ATTESTATION_H

#include "proto/shape.h"

/* Named as on the wire. */
struct attestation {
    bool authenticatedRootEnabled, hypervisorActive, rdmaDisabled, secureBootEnabled,
        secureEnclaveAvailable, sipEnabled;
    struct str binaryHash, chipName, encryptionPublicKey, hardwareModel, osVersion, publicKey,
        serialNumber, systemVolumeHash, timestamp; /* left out when empty: hashes, serial number */
};

/* Keys in alphabetical order, as the existing helper writes them. publicKey and timestamp are
 * required of a decoded one. */
extern const struct shape attestation_shape;

#endif
