/* SPDX-License-Identifier: Apache-2.0 */
/* Flags of the command line. Private to cfg. */
#ifndef DARKBLOOM_BASE_CFG_FLAGS_H
#define DARKBLOOM_BASE_CFG_FLAGS_H

#include "base/cfg.h"

/* Set every setting whose flag was given. */
int cfg_apply_flags(const struct cfg_source *src, struct arena *region, void *settings,
                    struct err *ret_err);

#endif
