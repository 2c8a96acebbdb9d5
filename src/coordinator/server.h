/* SPDX-License-Identifier: Apache-2.0 */
/* The running coordinator: its loop, its log, its signals. SIGHUP reads the settings again
 * (reload.h); SIGTERM and SIGINT drain, a second one ends at once. */
#ifndef DARKBLOOM_COORDINATOR_SERVER_H
#define DARKBLOOM_COORDINATOR_SERVER_H

#include "coordinator/settings.h"

/* Serve until a signal ends it. `loaded` came from `src` and `file`. 0, or a negative ERR_ with
 * words where there are any. */
int server_run(const struct cfg_source *src, struct str file, const struct settings *loaded,
               struct err *ret_err);

#endif
