/* SPDX-License-Identifier: Apache-2.0 */
/* What a provider does to its own process before it sees any text, beside base/sandbox: no
 * environment but the variables of an allow list, so that none makes the loader, a library or an
 * interpreter run foreign code. It reports nothing about itself: posture.h reads back what holds.
 */
#ifndef DARKBLOOM_PROVIDER_GUARD_GUARD_H
#define DARKBLOOM_PROVIDER_GUARD_GUARD_H

#include <stdbool.h>

/* Remove every variable that is not on the list from the environment. Whether one of them had
 * already acted on this process (the loader reads LD_PRELOAD before main): then the program must
 * start itself again to be rid of what was loaded. Call before any thread is made. */
bool guard_scrub_env(void);

/* Whether no other variable is set. */
bool guard_env_is_clean(void);

#endif
