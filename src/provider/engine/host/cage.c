/* SPDX-License-Identifier: Apache-2.0 */
/* The engine's process closes doors behind itself. */
#include "provider/engine/host/cage.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/sandbox.h"
#include "base/sysfile.h"
#include "provider/engine/host/cage_calls.h"

enum { PARTS_MAX = 1000, PATH_BYTES = 4096 };

/* Where the machine runs out of memory, this process goes before its daemon does. Not being able to
 * say so is no reason not to serve. */
static void cage_go_first(void)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    char text[8];
    int n = snprintf(text, sizeof text, "%d", CAGE_OOM_SCORE);

    if (fd < 0)
        return;
    if (write(fd, text, (size_t)n) < 0)
        errno = 0;
    close(fd);
}

int cage_bind_to_parent(struct err *ret_err)
{
    int rc;

    cage_go_first(); /* its file belongs to root once the process is not dumpable */
    rc = sandbox_harden(ret_err);

    if (rc < 0)
        return rc;
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return err_errno(ret_err, ERR_DENIED, errno, "cannot tie the engine to its daemon");
    return 0;
}

/* --- files --- */

#define CAGE_READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)

/* Of an ABI's rights those that this header knows. */
static uint64_t cage_file_rights(int32_t abi)
{
    uint64_t all = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1;

    if (abi >= 2)
        all |= UINT64_C(1) << 13; /* refer */
    if (abi >= 3)
        all |= UINT64_C(1) << 14; /* truncate */
    return all;
}

/* Paths that do not exist are left out: nothing can be read there. */
static int cage_allow_reading(int rules, const char *path)
{
    struct landlock_path_beneath_attr beneath = {.allowed_access = CAGE_READ};
    struct stat st;
    long rc;

    beneath.parent_fd = open(path, O_PATH | O_CLOEXEC);
    if (beneath.parent_fd < 0)
        return 0;
    if (fstat(beneath.parent_fd, &st) == 0 && !S_ISDIR(st.st_mode))
        beneath.allowed_access = LANDLOCK_ACCESS_FS_READ_FILE;
    rc = syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0);
    close(beneath.parent_fd);
    return rc < 0 ? ERR_DENIED : 0;
}

/* "x-00002-of-00003.gguf" is one of three files. Their number, 1 for any other name;
 * *ret_stem is the length of "x". */
static int cage_parts_of(const char *path, size_t *ret_stem)
{
    static const char sample[] = "-00001-of-00003.gguf";
    struct str tail = str_from(path);
    int64_t n = 0;

    if (tail.n < sizeof sample)
        return 1;
    *ret_stem = tail.n - (sizeof sample - 1);
    tail = (struct str){path + *ret_stem, sizeof sample - 1};
    if (tail.p[0] != '-' || !str_starts((struct str){tail.p + 6, tail.n - 6}, STR("-of-")) ||
        str_to_i64((struct str){tail.p + 10, 5}, &n) < 0 || n < 1 || n > PARTS_MAX)
        return 1;
    return (int)n;
}

static int cage_allow_model(int rules, const char *path)
{
    size_t stem = 0;
    int n = cage_parts_of(path, &stem), rc = cage_allow_reading(rules, path);
    char part[PATH_BYTES];

    for (int i = 1; n > 1 && rc == 0 && i <= n; i++) {
        int bytes = snprintf(part, sizeof part, "%.*s-%05d-of-%05d.gguf", (int)stem, path, i, n);

        rc = bytes > 0 && (size_t)bytes < sizeof part ? cage_allow_reading(rules, part) : ERR_LIMIT;
    }
    return rc;
}

/* What the library and cpus.h ask for: the processors, and this process's share of them. */
static const char *const cage_system_paths[] = {"/sys/devices/system", "/sys/fs/cgroup",
                                                "/proc/self",          "/proc/cpuinfo",
                                                "/proc/meminfo",       "/dev/null"};

static int cage_restrict_files(int32_t abi, const char *model_path, const char *library_dir)
{
    const struct landlock_ruleset_attr attr = {.handled_access_fs = cage_file_rights(abi)};
    int rules = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof attr, 0);
    int rc;

    if (rules < 0)
        return ERR_DENIED;
    rc = cage_allow_model(rules, model_path);
    if (rc == 0)
        rc = cage_allow_reading(rules, library_dir);
    for (size_t i = 0; rc == 0 && i < sizeof cage_system_paths / sizeof cage_system_paths[0]; i++)
        rc = cage_allow_reading(rules, cage_system_paths[i]);
    if (rc == 0 && syscall(SYS_landlock_restrict_self, rules, 0) < 0)
        rc = ERR_DENIED;
    close(rules);
    return rc;
}

int cage_close_for_loading(const char *model_path, const char *library_dir,
                           int32_t *ret_landlock_abi, struct err *ret_err)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

    if (abi > 0 && cage_restrict_files((int32_t)abi, model_path, library_dir) < 0)
        return err_errno(ret_err, ERR_DENIED, errno, "cannot restrict files with Landlock");
    *ret_landlock_abi = abi > 0 ? (int32_t)abi : 0;
    return cage_filter_calls(CAGE_LOADING, ret_err);
}

/* --- memory --- */

/* Counts what is private and writable (RLIMIT_DATA since Linux 4.7), which the mapped model is not.
 */
static int cage_limit_memory(int64_t growth_bytes, struct err *ret_err)
{
    char bytes[4096];
    struct str status = sysfile_read("", "/proc/self/status", bytes, sizeof bytes);
    int64_t kib = sysfile_leading_i64(sysfile_field(status, "VmData"));
    struct rlimit limit;

    if (kib <= 0)
        return err_set(ret_err, ERR_DENIED, "cannot read how much memory the engine has taken");
    limit.rlim_cur = limit.rlim_max = (rlim_t)(kib * 1024 + growth_bytes);
    if (setrlimit(RLIMIT_DATA, &limit) < 0)
        return err_errno(ret_err, ERR_DENIED, errno, "cannot limit the engine's memory");
    return 0;
}

int cage_close_for_serving(int64_t growth_bytes, struct err *ret_err)
{
    int rc = cage_limit_memory(growth_bytes, ret_err);

    return rc < 0 ? rc : cage_filter_calls(CAGE_SERVING, ret_err);
}

/* --- what holds --- */

static bool cage_no_file_opens(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    if (fd >= 0)
        close(fd);
    return fd < 0;
}

static bool cage_no_socket_opens(void)
{
    static const int families[] = {AF_INET, AF_INET6, AF_UNIX, AF_NETLINK};
    bool none = true;

    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
        int fd = socket(families[i], SOCK_DGRAM | SOCK_CLOEXEC, 0);

        none &= fd < 0;
        if (fd >= 0)
            close(fd);
    }
    return none;
}

struct cage_facts cage_measure(void)
{
    return (struct cage_facts){.no_new_files = cage_no_file_opens(),
                               .no_network = cage_no_socket_opens(),
                               .filtered = prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == 2,
                               .not_dumpable = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0};
}
