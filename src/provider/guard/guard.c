/* SPDX-License-Identifier: Apache-2.0 */
/* The environment of the provider's own process. */
#include "provider/guard/guard.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"

/* Whole names; with a `_` at the end, every name that begins so. None of them makes a library run
 * code or another program. */
static const char *const guard_allowed[] = {
    "HOME",
    "USER",
    "LOGNAME",
    "PATH",
    "TERM",
    "TZ",
    "LANG",
    "LC_",
    "XDG_CONFIG_HOME",
    /* settings, and the service manager's */
    "DARKBLOOM_",
    "EIGENINFERENCE_",
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    /* whom TLS trusts beside the system's authorities; which accelerators the engine may use */
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "CUDA_VISIBLE_DEVICES",
    "GGML_VK_VISIBLE_DEVICES",
#ifdef DARKBLOOM_SANITIZED
    "ASAN_OPTIONS",
    "LSAN_OPTIONS",
    "TSAN_OPTIONS",
    "UBSAN_OPTIONS",
#endif
};

/* What the dynamic loader and the C library read before main. */
static const char *const guard_acts_before_main[] = {"LD_", "DYLD_", "GLIBC_TUNABLES"};

static bool guard_matches(struct str name, const char *entry)
{
    struct str e = str_from(entry);

    return e.p[e.n - 1] == '_' ? str_starts(name, e) : str_eq(name, e);
}

static bool guard_listed(struct str name, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (guard_matches(name, list[i]))
            return true;
    }
    return false;
}

static struct str guard_name_of(const char *var)
{
    return (struct str){var, strcspn(var, "=")};
}

static bool guard_allows(const char *var)
{
    return guard_listed(guard_name_of(var), guard_allowed,
                        sizeof guard_allowed / sizeof guard_allowed[0]);
}

static bool guard_has_acted(const char *var)
{
    return guard_listed(guard_name_of(var), guard_acts_before_main,
                        sizeof guard_acts_before_main / sizeof guard_acts_before_main[0]);
}

/* In place: names that unsetenv(3) does not take (none, or with nothing before the `=`) go too. */
bool guard_scrub_env(void)
{
    bool acted = false;
    char **to = environ;

    for (char **from = environ; from && *from; from++) {
        acted |= guard_has_acted(*from);
        if (guard_allows(*from))
            *to++ = *from;
    }
    if (to)
        *to = NULL;
    return acted;
}

bool guard_env_is_clean(void)
{
    for (char **var = environ; var && *var; var++) {
        if (!guard_allows(*var))
            return false;
    }
    return true;
}
