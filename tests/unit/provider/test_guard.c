/* SPDX-License-Identifier: Apache-2.0 */
/* Hardening, each in a child process, and the posture that is read back there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/sandbox.h"
#include "provider/guard/guard.h"
#include "provider/guard/posture.h"

/* Run `check` in a child; it returns whether all was as expected. */
static void in_child(bool (*check)(void))
{
    pid_t pid = fork();
    int status;

    assert_true(pid >= 0);
    if (pid == 0)
        _exit(check() ? 0 : 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static bool hardened_flags_are_set(void)
{
    struct rlimit high = {.rlim_cur = 1 << 20, .rlim_max = 1 << 20};
    struct posture after, before;

    (void)setrlimit(RLIMIT_CORE, &high);
    before = posture_measure("");
    if (before.core_dumps_disabled || before.anti_debug_enabled)
        return false;
    if (sandbox_harden(NULL) < 0)
        return false;
    after = posture_measure("");
    return after.core_dumps_disabled && after.anti_debug_enabled;
}

static void hardening_shows_in_the_posture(void **state)
{
    (void)state;
    in_child(hardened_flags_are_set);
}

static bool scrub_removes_everything(void)
{
    static const char *const names[] = {"LD_PRELOAD",
                                        "LD_LIBRARY_PATH",
                                        "LD_AUDIT",
                                        "PYTHONPATH",
                                        "DYLD_INSERT_LIBRARIES",
                                        "PYTHONHOME",
                                        "PYTHONSTARTUP",
                                        "PYTHONDONTWRITEBYTECODE",
                                        "OPENSSL_CONF",
                                        "OPENSSL_MODULES",
                                        "GGML_BACKEND_PATH",
                                        "GCONV_PATH",
                                        "ANYTHING_ELSE",
                                        "HOMER",
                                        "LD_"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        (void)guard_scrub_env();
        if (!guard_env_is_clean() || setenv(names[i], "x", 1) < 0)
            return false;
        if (guard_env_is_clean() || posture_measure("").env_scrubbed)
            return false;
    }
    (void)guard_scrub_env();
    return guard_env_is_clean() && posture_measure("").env_scrubbed;
}

static void every_other_variable_is_removed_and_missed_before(void **state)
{
    (void)state;
    in_child(scrub_removes_everything);
}

static bool scrub_keeps_what_is_needed(void)
{
    static const char *const names[] = {"HOME",          "PATH",   "DARKBLOOM_MODEL_PATH",
                                        "NOTIFY_SOCKET", "LC_ALL", "XDG_CONFIG_HOME"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (setenv(names[i], "kept", 1) < 0)
            return false;
    }
    (void)guard_scrub_env();
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (!getenv(names[i]) || strcmp(getenv(names[i]), "kept") != 0)
            return false;
    }
    return guard_env_is_clean();
}

static void variables_of_the_allow_list_stay(void **state)
{
    (void)state;
    in_child(scrub_keeps_what_is_needed);
}

static bool loader_variables_demand_a_restart(void)
{
    (void)guard_scrub_env();
    if (guard_scrub_env() || setenv("PYTHONPATH", "x", 1) < 0 || guard_scrub_env())
        return false;
    return setenv("LD_PRELOAD", "", 1) == 0 && guard_scrub_env();
}

static void only_what_the_loader_has_read_demands_a_restart(void **state)
{
    (void)state;
    in_child(loader_variables_demand_a_restart);
}

static bool a_listener_shows(void)
{
    int sock;

    if (!posture_measure("").no_listener)
        return false;
    sock = socket(AF_INET, SOCK_STREAM, 0);
    if (sock < 0 || !posture_measure("").no_listener)
        return false;
    if (listen(sock, 1) < 0 || posture_measure("").no_listener)
        return false;
    close(sock);
    return posture_measure("").no_listener;
}

static void a_listening_socket_is_seen(void **state)
{
    (void)state;
    in_child(a_listener_shows);
}

static void the_privacy_flags_are_those_measured(void **state)
{
    struct posture none = {0};
    struct msg_privacy p = posture_privacy(&none, false);
    struct posture all;

    (void)state;
    assert_false(p.text_backend_inprocess || p.text_proxy_disabled || p.anti_debug_enabled ||
                 p.core_dumps_disabled || p.env_scrubbed);
    all = (struct posture){true, true, true, true, true, true};
    p = posture_privacy(&all, true);
    assert_true(p.text_backend_inprocess && p.text_proxy_disabled && p.anti_debug_enabled &&
                p.core_dumps_disabled && p.env_scrubbed);
    assert_false(p.sip_enabled || p.hypervisor_active || p.python_runtime_locked ||
                 p.dangerous_modules_blocked);
}

static void the_binary_hash_is_of_this_program(void **state)
{
    struct err err = {0};
    char first[FILE_HASH_BYTES], second[FILE_HASH_BYTES];

    (void)state;
    assert_int_equal(posture_binary_hash("", first, NULL), 0);
    assert_int_equal(posture_binary_hash("", second, NULL), 0);
    assert_int_equal(strlen(first), 64);
    assert_string_equal(first, second);
    assert_int_equal(posture_binary_hash("/nonexistent", first, &err), ERR_IO);
    assert_non_null(strstr(err.text, "/nonexistent/proc/self/exe"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hardening_shows_in_the_posture),
        cmocka_unit_test(every_other_variable_is_removed_and_missed_before),
        cmocka_unit_test(variables_of_the_allow_list_stay),
        cmocka_unit_test(only_what_the_loader_has_read_demands_a_restart),
        cmocka_unit_test(a_listening_socket_is_seen),
        cmocka_unit_test(the_privacy_flags_are_those_measured),
        cmocka_unit_test(the_binary_hash_is_of_this_program),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
