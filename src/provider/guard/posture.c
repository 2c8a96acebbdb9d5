/* SPDX-License-Identifier: Apache-2.0 */
/* The protections that hold, read back from the kernel. */
#include "provider/guard/posture.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "provider/guard/guard.h"
#include "base/sysfile.h"

#define SECURE_BOOT_VARIABLE \
    "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"

static bool posture_core_dumps_disabled(void)
{
    struct rlimit limit;

    return getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_cur == 0 && limit.rlim_max == 0;
}

static bool posture_nobody_can_debug(const char *root)
{
    char bytes[4096];
    struct str status = sysfile_read(root, "/proc/self/status", bytes, sizeof bytes);

    return prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0 &&
           sysfile_leading_i64(sysfile_field(status, "TracerPid")) == 0;
}

static DIR *posture_open_dir(const char *root, const char *path)
{
    char full[PATH_MAX];
    int n = snprintf(full, sizeof full, "%s%s", root, path);

    return n > 0 && (size_t)n < sizeof full ? opendir(full) : NULL;
}

/* The descriptors are this process's own whatever the root. */
static bool posture_no_listener(void)
{
    DIR *dir = opendir("/proc/self/fd");
    bool none = true;
    const struct dirent *entry;

    if (!dir)
        return false;
    while (none && (entry = readdir(dir))) {
        int64_t fd;
        int accepts = 0;
        socklen_t n = sizeof accepts;

        if (str_to_i64(str_from(entry->d_name), &fd) == 0 &&
            getsockopt((int)fd, SOL_SOCKET, SO_ACCEPTCONN, &accepts, &n) == 0)
            none = !accepts;
    }
    closedir(dir);
    return none;
}

/* No InfiniBand class directory, or an empty one. */
static bool posture_rdma_disabled(const char *root)
{
    DIR *dir = posture_open_dir(root, "/sys/class/infiniband");
    bool none = true;
    const struct dirent *entry;

    if (!dir)
        return errno == ENOENT;
    while (none && (entry = readdir(dir)))
        none = entry->d_name[0] == '.';
    closedir(dir);
    return none;
}

/* An EFI variable file is four bytes of attributes and the value (Linux: efivarfs). */
static bool posture_secure_boot(const char *root)
{
    char bytes[8];
    struct str value = sysfile_read_raw(root, SECURE_BOOT_VARIABLE, bytes, sizeof bytes);

    return value.n == 5 && value.p[4] == 1;
}

struct posture posture_measure(const char *root)
{
    return (struct posture){
        .core_dumps_disabled = posture_core_dumps_disabled(),
        .anti_debug_enabled = posture_nobody_can_debug(root),
        .env_scrubbed = guard_env_is_clean(),
        .no_listener = posture_no_listener(),
        .rdma_disabled = posture_rdma_disabled(root),
        .secure_boot = posture_secure_boot(root),
    };
}

struct msg_privacy posture_privacy(const struct posture *p, bool engine_in_process)
{
    return (struct msg_privacy){
        .text_backend_inprocess = engine_in_process,
        .text_proxy_disabled = p->no_listener,
        .anti_debug_enabled = p->anti_debug_enabled,
        .core_dumps_disabled = p->core_dumps_disabled,
        .env_scrubbed = p->env_scrubbed,
    };
}

int posture_binary_hash(const char *root, char ret_hex[static FILE_HASH_BYTES], struct err *ret_err)
{
    char path[PATH_MAX];

    (void)snprintf(path, sizeof path, "%s/proc/self/exe", root);
    return file_hash(path, "the running program", ret_hex, ret_err);
}
