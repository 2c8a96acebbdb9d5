/* SPDX-License-Identifier: Apache-2.0 */
/* A question to the running coordinator, at its control socket (api/control.h). */
#ifndef DARKBLOOM_COORDINATOR_COMMAND_ASK_H
#define DARKBLOOM_COORDINATOR_COMMAND_ASK_H

#include "base/buf.h"
#include "coordinator/command/command.h"

/* Append "?name=value", or "&name=value" behind the first, percent-encoded (RFC 3986 §2.1). Nothing
 * where `value.p` is NULL. */
int ask_add(struct buf *target, const char *name, struct str value);

/* Send `method target` and write the answer's body to env->out. 0; ERR_IO: nobody listens there, or
 * the answer broke off; ERR_DENIED: it was refused, with the coordinator's words. */
int ask_coordinator(const struct command_env *env, const char *method, struct str target,
                    struct err *ret_err);

#endif
