/* SPDX-License-Identifier: Apache-2.0 */
#include "base/sandbox.h"

#include <errno.h>
#include <sys/prctl.h>
#include <sys/resource.h>

int sandbox_harden(struct err *ret_err)
{
    const struct rlimit none = {.rlim_cur = 0, .rlim_max = 0};

    if (setrlimit(RLIMIT_CORE, &none) < 0)
        return err_errno(ret_err, ERR_DENIED, errno, "cannot switch core dumps off");
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return err_errno(ret_err, ERR_DENIED, errno, "cannot deny debuggers");
    return 0;
}
