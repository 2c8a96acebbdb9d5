/* SPDX-License-Identifier: Apache-2.0 */
/* The allow list of system calls, for cage.c. */
#ifndef DARKBLOOM_PROVIDER_ENGINE_HOST_CAGE_CALLS_H
#define DARKBLOOM_PROVIDER_ENGINE_HOST_CAGE_CALLS_H

#include "base/err.h"

enum cage_stage { CAGE_LOADING = 1, CAGE_SERVING = 2 };

/* Put the filter of that stage in force, for all threads and for good. 0 or ERR_DENIED. */
int cage_filter_calls(enum cage_stage stage, struct err *ret_err);

#endif
