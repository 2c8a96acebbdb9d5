/* SPDX-License-Identifier: Apache-2.0 */
/* The heartbeat: what the engine is doing, measured, and how the machine is. */
#ifndef DARKBLOOM_PROVIDER_SESSION_HEARTBEAT_H
#define DARKBLOOM_PROVIDER_SESSION_HEARTBEAT_H

#include "provider/engine/load.h"
#include "provider/session/machine.h"

/* Append the frame. 0, ERR_LIMIT or ERR_NOMEM. */
int heartbeat_write(const struct machine *machine, const struct load *load, struct buf *out);

#endif
