/* SPDX-License-Identifier: Apache-2.0 */
/* The environment of the provider's own process. */
#include "provider/guard/guard.h"

#include <stdlib.h>

static const struct {
    const char *name;
    bool acts_before_main; /* read by the dynamic loader */
} banned[] = {
    {"LD_PRELOAD", true},        {"LD_AUDIT", true},
    {"LD_LIBRARY_PATH", true},   {"DYLD_INSERT_LIBRARIES", true},
    {"DYLD_LIBRARY_PATH", true}, {"DYLD_FRAMEWORK_PATH", true},
    {"PYTHONPATH", false},       {"PYTHONSTARTUP", false},
    {"PYTHONHOME", false},       {"PYTHONDONTWRITEBYTECODE", false},
    {"PYTHONIOENCODING", false},
};

enum { BANNED_COUNT = sizeof banned / sizeof banned[0] };

bool guard_scrub_env(void)
{
    bool acted = false;

    for (int i = 0; i < BANNED_COUNT; i++) {
        acted |= banned[i].acts_before_main && getenv(banned[i].name);
        (void)unsetenv(banned[i].name);
    }
    return acted;
}

bool guard_env_is_clean(void)
{
    for (int i = 0; i < BANNED_COUNT; i++) {
        if (getenv(banned[i].name))
            return false;
    }
    return true;
}
