/* SPDX-License-Identifier: Apache-2.0 */
/* The register message and the signed statement in it, which binds this process's X25519 key to the
 * signing key. Flags are measured anew for each connection.
 */
#ifndef DARKBLOOM_PROVIDER_SESSION_REGISTRATION_H
#define DARKBLOOM_PROVIDER_SESSION_REGISTRATION_H

#include "base/clock.h"
#include "identity/signer.h"
#include "provider/session/machine.h"

/* The statement to sign. Borrows from `machine` and from `ret_timestamp`. */
struct signer_statement registration_statement(const struct machine *machine, int64_t wall_us,
                                               char ret_timestamp[static CLOCK_RFC3339_BYTES]);

/* Append the frame; `attestation` is the signer's answer. 0, ERR_LIMIT or ERR_NOMEM. */
int registration_write(const struct machine *machine, struct str attestation, struct buf *out);

#endif
