/* SPDX-License-Identifier: Apache-2.0 */
/* Settings while the program runs: SIGHUP has file and environment read again. Either all that may
 * change is taken, at once, or nothing is. Belongs to the main thread.
 *
 * What runs holds a pointer to a struct settings that never changes; a reload makes another one.
 * The one before stays valid until the reload after, so that who has kept a string of it for a
 * moment reads no freed memory. */
#ifndef DARKBLOOM_COORDINATOR_RELOAD_H
#define DARKBLOOM_COORDINATOR_RELOAD_H

#include "base/log.h"
#include "coordinator/settings.h"

struct reload_generation;

struct reload {
    const struct cfg_source *src;
    struct str file;                 /* of --config; .p NULL: there is none */
    struct settings loaded;          /* at the start, as read */
    const struct settings *at_start; /* as used: limits that the system lowered */
    struct reload_generation *now, *before;
};

/* Read file (may be none) and environment, and check; what they name is not opened. */
int reload_read(const struct cfg_source *src, struct str file, struct arena *region,
                struct settings *ret_settings, struct err *ret_err);

/* `loaded` is what reload_read gave, `at_start` the same as used; both outlive the reload. */
void reload_init(struct reload *r, const struct cfg_source *src, struct str file,
                 const struct settings *loaded, const struct settings *at_start);

/* Read again, and open what they name (settings_open_tls). 0 and the settings to use from now on;
 * or an error, and everything stays. Logs what was taken, what differs but needs a restart, or what
 * is wrong, by the setting's name. */
int reload_again(struct reload *r, const struct log *log, const struct settings **ret_settings);

/* Frees what was read again: nobody may use it any more. */
void reload_free(struct reload *r);

#endif
