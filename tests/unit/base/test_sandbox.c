/* SPDX-License-Identifier: Apache-2.0 */
/* Hardening, in a child process, read back from the kernel. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/sandbox.h"

static bool is_hardened(void)
{
    struct rlimit rl;

    return getrlimit(RLIMIT_CORE, &rl) == 0 && rl.rlim_cur == 0 && rl.rlim_max == 0 &&
           prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0;
}

static bool hardening_holds(void)
{
    struct rlimit high = {.rlim_cur = 1 << 20, .rlim_max = 1 << 20};

    return setrlimit(RLIMIT_CORE, &high) == 0 && !is_hardened() && sandbox_harden(NULL) == 0 &&
           is_hardened();
}

static void a_hardened_process_leaves_no_core_and_no_memory_to_others(void **state)
{
    pid_t pid = fork();
    int status;
    (void)state;

    assert_true(pid >= 0);
    if (pid == 0)
        _exit(hardening_holds() ? 0 : 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hardened_process_leaves_no_core_and_no_memory_to_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
