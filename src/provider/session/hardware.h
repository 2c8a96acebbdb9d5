/* SPDX-License-Identifier: Apache-2.0 */
/* What this machine is, for the register message: read from /proc and /sys, never guessed. What is
 * not measured is "Unknown" or 0. */
#ifndef DARKBLOOM_PROVIDER_SESSION_HARDWARE_H
#define DARKBLOOM_PROVIDER_SESSION_HARDWARE_H

#include "base/arena.h"
#include "proto/provider_msg.h"

/* Fill the hardware block; strings live in `region`. `reserve_gb` is kept back from the available
 * memory. 0 or ERR_NOMEM. */
int hardware_read(const char *root, double reserve_gb, struct arena *region,
                  struct msg_hardware *ret_hardware);

/* "Linux 6.1.0-18-amd64", for the attestation; in `region`. */
struct str hardware_os_version(const char *root, struct arena *region);

#endif
