/* SPDX-License-Identifier: Apache-2.0 */
/* The provider's process: model, key, loop and signals around provider.h. */
#ifndef DARKBLOOM_PROVIDER_DAEMON_H
#define DARKBLOOM_PROVIDER_DAEMON_H

#include "base/err.h"
#include "provider/settings.h"

/* Load the model, connect, and serve until SIGTERM or SIGINT; logs to standard error. The settings
 * have passed provider_settings_check, and sandbox_harden was called. 0 after an orderly stop, or a
 * negative code with what to do. */
int daemon_run(const struct provider_settings *settings, const char *(*getenv)(const char *name),
               struct err *ret_err);

#endif
