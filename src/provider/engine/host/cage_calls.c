/* SPDX-License-Identifier: Apache-2.0 */
/* Which system calls the engine's process makes, as a table. */
#include "provider/engine/host/cage_calls.h"

#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

/* ARCH_REQ_XCOMP_PERM of the kernel's asm/prctl.h: whether AMX may be used. */
enum { ASK_FOR_TILES = 0x1023 };

enum { BOTH = CAGE_LOADING | CAGE_SERVING };

/* A call that is allowed in those stages; with `mask`, only where argument `arg` under it is
 * `value`. */
struct cage_call {
    const char *name;
    unsigned stages;
    unsigned arg;
    uint64_t mask, value;
};

/* As a value: this process's own number. */
#define CAGE_SELF INT64_MAX

#define WITH(arg, mask, value) (arg), (mask), (value)

static const struct cage_call cage_calls[] = {
    /* the socketpair, and stderr while it has one */
    {"read", BOTH, 0, 0, 0},
    {"write", BOTH, 0, 0, 0},
    {"writev", BOTH, 0, 0, 0},
    {"recvfrom", BOTH, 0, 0, 0},
    {"recvmsg", BOTH, 0, 0, 0},
    {"sendto", BOTH, 0, 0, 0},
    {"sendmsg", BOTH, 0, 0, 0},
    {"poll", BOTH, 0, 0, 0},
    {"ppoll", BOTH, 0, 0, 0},
    {"close", BOTH, 0, 0, 0},
    {"shutdown", BOTH, 0, 0, 0},
    /* memory; nothing that is executable any more once the model is loaded */
    {"brk", BOTH, 0, 0, 0},
    {"mmap", CAGE_LOADING, 0, 0, 0},
    {"mmap", CAGE_SERVING, WITH(2, PROT_EXEC, 0)},
    {"mprotect", CAGE_LOADING, 0, 0, 0},
    {"mprotect", CAGE_SERVING, WITH(2, PROT_EXEC, 0)},
    {"munmap", BOTH, 0, 0, 0},
    {"mremap", BOTH, 0, 0, 0},
    {"madvise", BOTH, 0, 0, 0},
    {"mlock", BOTH, 0, 0, 0},
    {"munlock", BOTH, 0, 0, 0},
    {"mincore", BOTH, 0, 0, 0},
    /* threads, but no processes */
    {"clone", BOTH, WITH(0, CLONE_THREAD, CLONE_THREAD)},
    {"set_robust_list", BOTH, 0, 0, 0},
    {"rseq", BOTH, 0, 0, 0},
    {"futex", BOTH, 0, 0, 0},
    {"membarrier", BOTH, 0, 0, 0},
    {"sched_yield", BOTH, 0, 0, 0},
    {"sched_getaffinity", BOTH, 0, 0, 0},
    {"sched_setaffinity", BOTH, 0, 0, 0},
    {"getcpu", BOTH, 0, 0, 0},
    {"exit", BOTH, 0, 0, 0},
    {"exit_group", BOTH, 0, 0, 0},
    {"gettid", BOTH, 0, 0, 0},
    {"getpid", BOTH, 0, 0, 0},
    {"tgkill", BOTH, WITH(0, UINT32_MAX, CAGE_SELF)}, /* abort(3) */
    /* signals */
    {"rt_sigaction", BOTH, 0, 0, 0},
    {"rt_sigprocmask", BOTH, 0, 0, 0},
    {"rt_sigreturn", BOTH, 0, 0, 0},
    {"sigaltstack", BOTH, 0, 0, 0},
    {"restart_syscall", BOTH, 0, 0, 0},
    /* time and chance */
    {"clock_gettime", BOTH, 0, 0, 0},
    {"clock_getres", BOTH, 0, 0, 0},
    {"clock_nanosleep", BOTH, 0, 0, 0},
    {"nanosleep", BOTH, 0, 0, 0},
    {"gettimeofday", BOTH, 0, 0, 0},
    {"getrandom", BOTH, 0, 0, 0},
    /* what it may know of itself */
    {"prctl", CAGE_LOADING, 0, 0, 0},
    {"prctl", CAGE_SERVING, WITH(0, UINT64_MAX, PR_GET_DUMPABLE)},
    {"prctl", CAGE_SERVING, WITH(0, UINT64_MAX, PR_GET_SECCOMP)},
    {"prctl", CAGE_SERVING, WITH(0, UINT64_MAX, PR_SET_NAME)},
    {"prlimit64", CAGE_LOADING, 0, 0, 0},
    {"getrlimit", BOTH, 0, 0, 0},
    {"getrusage", BOTH, 0, 0, 0},
    /* files and plug-ins, while they are loaded */
    {"open", CAGE_LOADING, 0, 0, 0},
    {"openat", CAGE_LOADING, 0, 0, 0},
    {"pread64", CAGE_LOADING, 0, 0, 0},
    {"readv", CAGE_LOADING, 0, 0, 0},
    {"lseek", CAGE_LOADING, 0, 0, 0},
    {"fstat", CAGE_LOADING, 0, 0, 0},
    {"stat", CAGE_LOADING, 0, 0, 0},
    {"lstat", CAGE_LOADING, 0, 0, 0},
    {"statx", CAGE_LOADING, 0, 0, 0},
    {"newfstatat", CAGE_LOADING, 0, 0, 0},
    {"fstatfs", CAGE_LOADING, 0, 0, 0},
    {"access", CAGE_LOADING, 0, 0, 0},
    {"faccessat", CAGE_LOADING, 0, 0, 0},
    {"faccessat2", CAGE_LOADING, 0, 0, 0},
    {"readlink", CAGE_LOADING, 0, 0, 0},
    {"readlinkat", CAGE_LOADING, 0, 0, 0},
    {"getdents64", CAGE_LOADING, 0, 0, 0},
    {"getcwd", CAGE_LOADING, 0, 0, 0},
    {"fcntl", CAGE_LOADING, 0, 0, 0},
    {"dup", CAGE_LOADING, 0, 0, 0},
    {"dup2", CAGE_LOADING, 0, 0, 0},
    {"dup3", CAGE_LOADING, 0, 0, 0},
    {"posix_fadvise", CAGE_LOADING, 0, 0, 0},
    {"fadvise64", CAGE_LOADING, 0, 0, 0},
    {"uname", CAGE_LOADING, 0, 0, 0},
    {"sysinfo", CAGE_LOADING, 0, 0, 0},
    {"arch_prctl", CAGE_LOADING, 0, 0, 0},
    {"arch_prctl", CAGE_SERVING,
     WITH(0, UINT64_MAX, ASK_FOR_TILES)}, /* the library asks each pass */
    {"getuid", CAGE_LOADING, 0, 0, 0},
    {"geteuid", CAGE_LOADING, 0, 0, 0},
    {"getgid", CAGE_LOADING, 0, 0, 0},
    {"getegid", CAGE_LOADING, 0, 0, 0},
    {"get_mempolicy", CAGE_LOADING, 0, 0, 0},
    {"sched_getparam", BOTH, 0, 0, 0},
    {"sched_getscheduler", BOTH, 0, 0, 0},
    {"seccomp", CAGE_LOADING, 0, 0, 0},
#ifdef DARKBLOOM_SANITIZED /* UBSan looks through a pipe whether an address can be read */
    {"pipe", BOTH, 0, 0, 0},
    {"pipe2", BOTH, 0, 0, 0},
#endif
};

/* Nothing of ours tries these, whatever is in a model or a prompt. */
static const char *const cage_deadly[] = {
    "execve",      "execveat", "ptrace", "process_vm_readv", "process_vm_writev", "kcmp",
    "pidfd_getfd", "mount",    "bpf",    "userfaultfd",
};

/* A rule for a call that this architecture has; others are skipped. */
static int cage_add_call(scmp_filter_ctx filter, const struct cage_call *c)
{
    int nr = seccomp_syscall_resolve_name(c->name);
    uint64_t value = c->value == CAGE_SELF ? (uint64_t)getpid() : c->value;

    if (nr == __NR_SCMP_ERROR || nr < 0)
        return 0;
    if (c->mask == 0)
        return seccomp_rule_add(filter, SCMP_ACT_ALLOW, nr, 0);
    return seccomp_rule_add(filter, SCMP_ACT_ALLOW, nr, 1,
                            SCMP_CMP(c->arg, SCMP_CMP_MASKED_EQ, c->mask, value));
}

static int cage_add_action(scmp_filter_ctx filter, uint32_t action, const char *name)
{
    int nr = seccomp_syscall_resolve_name(name);

    return nr < 0 ? 0 : seccomp_rule_add(filter, action, nr, 0);
}

static int cage_add_calls(scmp_filter_ctx filter, enum cage_stage stage)
{
    /* The C library falls back to clone(2), whose flags a filter can see. */
    int rc = cage_add_action(filter, SCMP_ACT_ERRNO(ENOSYS), "clone3");

    for (size_t i = 0; rc == 0 && i < sizeof cage_calls / sizeof cage_calls[0]; i++) {
        if (cage_calls[i].stages & stage)
            rc = cage_add_call(filter, &cage_calls[i]);
    }
    for (size_t i = 0; rc == 0 && i < sizeof cage_deadly / sizeof cage_deadly[0]; i++)
        rc = cage_add_action(filter, SCMP_ACT_KILL_PROCESS, cage_deadly[i]);
    return rc;
}

int cage_filter_calls(enum cage_stage stage, struct err *ret_err)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    int rc;

    if (!filter)
        return err_set(ret_err, ERR_NOMEM, "out of memory for the filter of system calls");
    rc = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
    if (rc == 0)
        rc = cage_add_calls(filter, stage);
    if (rc == 0)
        rc = seccomp_load(filter);
    seccomp_release(filter);
    return rc == 0 ? 0
                   : err_errno(ret_err, ERR_DENIED, -rc,
                               "this kernel takes no filter of system calls (seccomp)");
}
