/* SPDX-License-Identifier: Apache-2.0 */
#include "provider/model/process.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WIRE_FD = 3, ENV_MAX = 8 };

struct process {
    struct loop *loop;
    pid_t pid; /* 0: none */
    int pidfd;
    struct loop_watch *watch; /* of pidfd: readable when it has ended */
    void (*exited)(void *ud, int status);
    void *exited_ud;
};

/* --- its surroundings --- */

/* What tells the library which accelerators it may use; none of them loads code. */
static const char *const process_inherited[] = {"CUDA_VISIBLE_DEVICES", "GGML_VK_VISIBLE_DEVICES"};

/* Templates print dates and sort texts: the same on every machine. */
static const char *const process_given[] = {"TZ=UTC", "LC_ALL=C.UTF-8"};

struct process_env {
    char *vars[ENV_MAX];
    size_t n;
};

static int process_env_add(struct process_env *e, const char *name, const char *value)
{
    char *var = NULL;

    if (asprintf(&var, "%s%s%s", name, value ? "=" : "", value ? value : "") < 0)
        return ERR_NOMEM;
    e->vars[e->n++] = var;
    return 0;
}

static int process_env_make(struct process_env *e)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < sizeof process_given / sizeof process_given[0]; i++)
        rc = process_env_add(e, process_given[i], NULL);
    for (size_t i = 0; rc == 0 && i < sizeof process_inherited / sizeof process_inherited[0]; i++) {
        const char *value = getenv(process_inherited[i]);

        if (value)
            rc = process_env_add(e, process_inherited[i], value);
    }
    return rc;
}

static void process_env_free(struct process_env *e)
{
    for (size_t i = 0; i < e->n; i++)
        free(e->vars[i]);
}

/* Beside the program that runs, whatever PATH says. */
static int process_program(char ret_path[static PATH_MAX], struct err *ret_err)
{
    static const char name[] = "darkbloom-engine";
    ssize_t n = readlink("/proc/self/exe", ret_path, PATH_MAX - sizeof name);
    char *slash;

    if (n <= 0)
        return err_errno(ret_err, ERR_IO, errno, "cannot tell where this program is");
    ret_path[n] = '\0';
    slash = strrchr(ret_path, '/');
    memcpy(slash ? slash + 1 : ret_path, name, sizeof name);
    if (access(ret_path, X_OK) < 0)
        return err_errno(ret_err, ERR_CONFIG, errno,
                         "%.150s is not there or cannot be run; install it beside darkbloom",
                         ret_path);
    return 0;
}

/* --- starting --- */

/* Its wire is descriptor 3, our stderr is its own, and nothing else of ours is open there. A
 * process group of its own keeps the terminal's Ctrl-C from it: running answers are finished first.
 */
static int process_prepare(posix_spawn_file_actions_t *files, posix_spawnattr_t *attr, int wire)
{
    sigset_t all, none;
    int rc;

    sigfillset(&all);
    sigemptyset(&none);
    rc = posix_spawn_file_actions_addopen(files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (rc == 0)
        rc = posix_spawn_file_actions_addopen(files, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    if (rc == 0)
        rc = posix_spawn_file_actions_adddup2(files, wire, WIRE_FD);
    if (rc == 0)
        rc = posix_spawn_file_actions_addclosefrom_np(files, WIRE_FD + 1);
    if (rc == 0)
        rc = posix_spawnattr_setsigmask(attr, &none);
    if (rc == 0)
        rc = posix_spawnattr_setsigdefault(attr, &all);
    if (rc == 0)
        rc = posix_spawnattr_setpgroup(attr, 0);
    if (rc == 0)
        rc = posix_spawnattr_setflags(attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                                POSIX_SPAWN_SETPGROUP);
    return rc;
}

/* 0 or an errno. */
static int process_spawn(const char *path, int wire, char *const *env, pid_t *ret_pid)
{
    char name[] = "darkbloom-engine";
    char *const argv[] = {name, NULL};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    int rc = posix_spawn_file_actions_init(&files);

    if (rc != 0)
        return rc;
    rc = posix_spawnattr_init(&attr);
    if (rc == 0) {
        rc = process_prepare(&files, &attr, wire);
        if (rc == 0)
            rc = posix_spawn(ret_pid, path, &files, &attr, argv, env);
        posix_spawnattr_destroy(&attr);
    }
    posix_spawn_file_actions_destroy(&files);
    return rc;
}

static void process_on_end(void *ud, unsigned events);

static int process_watch(struct process *p)
{
    p->pidfd = pidfd_open(p->pid, 0);
    if (p->pidfd < 0)
        return ERR_IO;
    return loop_watch_add(p->loop, p->pidfd, LOOP_READABLE, process_on_end, p, &p->watch);
}

/* Waits: it has ended, or SIGKILL is on its way. */
static int process_reap(struct process *p)
{
    int status = 0;

    loop_watch_remove(p->watch);
    p->watch = NULL;
    if (p->pidfd >= 0)
        close(p->pidfd);
    p->pidfd = -1;
    while (waitpid(p->pid, &status, 0) < 0 && errno == EINTR)
        ;
    p->pid = 0;
    return status;
}

static void process_on_end(void *ud, unsigned events)
{
    struct process *p = ud;

    (void)events;
    p->exited(p->exited_ud, process_reap(p));
}

static int process_start_on(struct process *p, int wire, struct err *ret_err)
{
    char path[PATH_MAX];
    struct process_env env = {0};
    int rc = process_program(path, ret_err);
    int error;

    if (rc < 0)
        return rc;
    rc = process_env_make(&env);
    error = rc < 0 ? ENOMEM : process_spawn(path, wire, env.vars, &p->pid);
    process_env_free(&env);
    if (error != 0) {
        p->pid = 0;
        return err_errno(ret_err, ERR_IO, error, "cannot start %.150s", path);
    }
    rc = process_watch(p);
    if (rc < 0) {
        (void)kill(p->pid, SIGKILL);
        (void)process_reap(p);
        return err_set(ret_err, rc, "cannot watch the engine's process; Linux 5.3 is needed");
    }
    return 0;
}

static int process_start(void *ud, void (*exited)(void *exited_ud, int status), void *exited_ud,
                         int *ret_sock, struct err *ret_err)
{
    struct process *p = ud;
    int ends[2];
    int rc;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return err_errno(ret_err, ERR_IO, errno, "cannot make the engine's wire");
    if (fcntl(ends[0], F_SETFL, O_NONBLOCK) < 0)
        rc = err_errno(ret_err, ERR_IO, errno, "cannot set up the engine's wire");
    else
        rc = process_start_on(p, ends[1], ret_err);
    close(ends[1]);
    if (rc < 0) {
        close(ends[0]);
        return rc;
    }
    p->exited = exited;
    p->exited_ud = exited_ud;
    *ret_sock = ends[0];
    return 0;
}

static void process_kill(void *ud)
{
    struct process *p = ud;

    if (p->pid > 0)
        (void)kill(p->pid, SIGKILL);
}

/* --- life --- */

int process_new(struct loop *l, struct process **ret_process)
{
    struct process *p = calloc(1, sizeof *p);

    if (!p)
        return ERR_NOMEM;
    p->loop = l;
    p->pidfd = -1;
    *ret_process = p;
    return 0;
}

void process_free(struct process *p)
{
    if (!p)
        return;
    process_kill(p);
    if (p->pid > 0)
        (void)process_reap(p);
    free(p);
}

struct process_ops process_ops(struct process *p)
{
    return (struct process_ops){process_start, process_kill, p};
}

/* --- ends --- */

void process_end_text(int status, char ret_text[static PROCESS_END_BYTES])
{
    const char *name = WIFSIGNALED(status) ? sigabbrev_np(WTERMSIG(status)) : NULL;

    if (name)
        (void)snprintf(ret_text, PROCESS_END_BYTES, "SIG%s", name);
    else if (WIFSIGNALED(status))
        (void)snprintf(ret_text, PROCESS_END_BYTES, "signal %d", WTERMSIG(status));
    else
        (void)snprintf(ret_text, PROCESS_END_BYTES, "exit status %d", WEXITSTATUS(status));
}

bool process_end_is_crash(int status)
{
    static const int from_outside[] = {SIGKILL, SIGTERM, SIGINT, SIGHUP, SIGQUIT};

    if (!WIFSIGNALED(status))
        return WEXITSTATUS(status) != 0;
    for (size_t i = 0; i < sizeof from_outside / sizeof from_outside[0]; i++) {
        if (WTERMSIG(status) == from_outside[i])
            return false;
    }
    return true;
}
