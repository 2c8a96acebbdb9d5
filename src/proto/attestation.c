/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/attestation.h"

#define CLAIM(type_, member, flags_)                                             \
    {                                                                            \
        .name = #member, .type = SHAPE_##type_, .flags = (flags_),               \
        .offset = offsetof(struct attestation, member), .other_offset = SIZE_MAX \
    }

static const struct shape_field fields[] = {CLAIM(BOOL, authenticatedRootEnabled, 0),
                                            CLAIM(STR, binaryHash, SHAPE_OMIT_EMPTY),
                                            CLAIM(STR, chipName, 0),
                                            CLAIM(STR, encryptionPublicKey, 0),
                                            CLAIM(STR, hardwareModel, 0),
                                            CLAIM(BOOL, hypervisorActive, 0),
                                            CLAIM(STR, osVersion, 0),
                                            CLAIM(STR, publicKey, SHAPE_REQUIRED),
                                            CLAIM(BOOL, rdmaDisabled, 0),
                                            CLAIM(BOOL, secureBootEnabled, 0),
                                            CLAIM(BOOL, secureEnclaveAvailable, 0),
                                            CLAIM(STR, serialNumber, SHAPE_OMIT_EMPTY),
                                            CLAIM(BOOL, sipEnabled, 0),
                                            CLAIM(STR, systemVolumeHash, SHAPE_OMIT_EMPTY),
                                            CLAIM(STR, timestamp, SHAPE_REQUIRED),
                                            {.name = NULL}};

const struct shape attestation_shape = {"attestation", fields, sizeof(struct attestation)};
