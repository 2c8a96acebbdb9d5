/* SPDX-License-Identifier: Apache-2.0 */
/* Where a provider's files are when nothing names them: ours first, then those of the existing
 * provider. $XDG_CONFIG_HOME stands for ~/.config where it is set. */
#ifndef DARKBLOOM_PROVIDER_PATHS_H
#define DARKBLOOM_PROVIDER_PATHS_H

#include "base/arena.h"
#include "base/err.h"

struct paths {
    const char *(*getenv)(const char *name); /* injected */
    struct arena *region;                    /* results live here */
};

/* Below the configuration directory, in the order in which they are looked for; NULL ends it. */
extern const char *const paths_config_places[];

/* The first provider.toml that exists; .p NULL: there is none, which is no error. */
struct str paths_config(const struct paths *p);

/* identity.pem in the configuration directory, which is made (mode 0700) if absent. 0, ERR_CONFIG
 * (neither HOME nor XDG_CONFIG_HOME is set), ERR_IO or ERR_NOMEM. */
int paths_identity_key(const struct paths *p, struct str *ret_path, struct err *ret_err);

/* The account token: contents of `path`, or where it is .p NULL of the first usual file that
 * exists, without white space around it. 0 (also when no usual file exists: *ret_token.p is NULL),
 * or ERR_IO / ERR_CONFIG: a named file that cannot be read, an empty or overlong one, or one that
 * others can read. */
int paths_auth_token(const struct paths *p, struct str path, struct str *ret_token,
                     struct err *ret_err);

#endif
