/* SPDX-License-Identifier: Apache-2.0 */
/* Hardening of the provider's own process. */
#include "provider/guard/guard.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>

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
    for (int i = 0; i < BANNED_COUNT; i++)
        if (getenv(banned[i].name))
            return false;
    return true;
}

int guard_harden(struct err *ret_err)
{
    struct rlimit none = {.rlim_cur = 0, .rlim_max = 0};
    if (setrlimit(RLIMIT_CORE, &none) < 0)
        return err_errno(ret_err, ERR_DENIED, errno, "cannot switch core dumps off");
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return err_errno(ret_err, ERR_DENIED, errno, "cannot deny debuggers");
    return 0;
}
