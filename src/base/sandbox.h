/* SPDX-License-Identifier: Apache-2.0 */
/* What a program that sees prompts does to its own process first. Linux; see prctl(2). */
#ifndef DARKBLOOM_BASE_SANDBOX_H
#define DARKBLOOM_BASE_SANDBOX_H

#include "base/err.h"

/* No core dumps (limit 0, soft and hard), and no debugger or /proc/<pid>/mem for others of the same
 * user. 0 or ERR_DENIED. */
int sandbox_harden(struct err *ret_err);

#endif
