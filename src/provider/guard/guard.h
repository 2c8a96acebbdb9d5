/* SPDX-License-Identifier: Apache-2.0 */
/* What a provider does to its own process before it sees any text, beside base/sandbox: no
 * environment that makes the loader or an interpreter run foreign code. It
 * reports nothing about itself: posture.h reads back what holds. */
#ifndef DARKBLOOM_PROVIDER_GUARD_GUARD_H
#define DARKBLOOM_PROVIDER_GUARD_GUARD_H

#include <stdbool.h>

/* Remove the variables of the list from the environment. Whether one of them had already acted on
 * this process (the loader reads LD_PRELOAD before main): then the program must start itself again
 * to be rid of what was loaded. Call before any thread is made. */
bool guard_scrub_env(void);

/* Whether no variable of the list is set. */
bool guard_env_is_clean(void);

#endif
