/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/child.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/str.h"

enum { OUTPUT_BYTES = 16 << 10, START_TRIES = 1500, ARGS_MAX = 48, PAUSE_NS = 20000000 };

static const char callgrind_file[] = "callgrind.out";

int child_pin_self(int core)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(core, &set);
    return sched_setaffinity(0, sizeof set, &set) < 0 ? ERR_IO : 0;
}

void child_unpin_self(void)
{
    cpu_set_t all;

    CPU_ZERO(&all);
    for (long i = 0; i < sysconf(_SC_NPROCESSORS_ONLN) && i < CPU_SETSIZE; i++)
        CPU_SET((size_t)i, &all);
    (void)sched_setaffinity(0, sizeof all, &all); /* pinned, figures are too low, never too high */
}

/* Start a program; where `fd` is not negative it becomes its descriptor `as`. */
static pid_t child_spawn(char *const argv[], int fd, int as, int core)
{
    pid_t pid = fork();

    if (pid != 0)
        return pid;
    if (core >= 0)
        (void)child_pin_self(core);
    if (dup2(fd, as) < 0)
        _exit(127);
    execvp(argv[0], argv);
    _exit(127);
}

static pid_t child_start_logged(char *const argv[], const char *log, int core)
{
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    pid_t pid = fd < 0 ? -1 : child_spawn(argv, fd, STDERR_FILENO, core);

    if (fd >= 0)
        close(fd);
    return pid;
}

static int child_make_key(const char *program, const char *store,
                          char ret_key[static CHILD_KEY_BYTES], struct err *ret_err)
{
    char *argv[] = {(char *)program, "--store",  (char *)store, "key", "create",
                    "bench",         "--credit", "1000000",     NULL};
    char out[4096] = "";
    size_t n = 0;
    ssize_t got;
    char *last;
    int fds[2], status;
    pid_t pid;

    if (pipe2(fds, O_CLOEXEC) < 0)
        return err_errno(ret_err, ERR_IO, errno, "no pipe");
    pid = child_spawn(argv, fds[1], STDOUT_FILENO, -1);
    close(fds[1]);
    while (pid > 0 && n < sizeof out - 1 && (got = read(fds[0], out + n, sizeof out - 1 - n)) > 0)
        n += (size_t)got;
    close(fds[0]);
    if (pid < 0)
        return err_errno(ret_err, ERR_IO, errno, "cannot start %s", program);
    waitpid(pid, &status, 0);
    while (n > 0 && out[n - 1] == '\n')
        out[--n] = 0;
    last = strrchr(out, '\n');
    last = last ? last + 1 : out;
    if (status != 0 || strlen(last) >= CHILD_KEY_BYTES)
        return err_set(ret_err, ERR_IO, "`key create` failed");
    memcpy(ret_key, last, strlen(last) + 1);
    return 0;
}

/* The line "… event=started … port=N …" of its log says that it listens. */
static int child_read_port(const char *log, uint16_t *ret_port)
{
    char text[OUTPUT_BYTES];
    FILE *f = fopen(log, "re");
    size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
    char *line, *port;

    if (f)
        fclose(f);
    text[n] = 0;
    line = strstr(text, "event=started");
    port = line ? strstr(line, "port=") : NULL;
    if (!port || !strchr(port, '\n'))
        return ERR_AGAIN;
    *ret_port = (uint16_t)strtoul(port + 5, NULL, 10);
    return 0;
}

static int child_wait_until_started(pid_t pid, const char *log, uint16_t *ret_port,
                                    struct err *ret_err)
{
    const struct timespec pause = {.tv_nsec = PAUSE_NS};

    for (int i = 0; i < START_TRIES && waitpid(pid, NULL, WNOHANG) == 0; i++) {
        if (child_read_port(log, ret_port) == 0)
            return 0;
        nanosleep(&pause, NULL);
    }
    return err_set(ret_err, ERR_IO, "the coordinator did not start; see %s", log);
}

/* What execvp takes: valgrind and its options where instructions are counted, the program, its
 * arguments. Too many of them: ERR_RANGE. */
struct child_argv {
    char *at[ARGS_MAX + 1];
    int n;
    bool full;
};

static void child_push(struct child_argv *argv, const char *arg)
{
    if (argv->n == ARGS_MAX)
        argv->full = true;
    else
        argv->at[argv->n++] = (char *)arg; /* execvp does not write to it */
}

static pid_t child_start_coordinator(const struct child_config *config, const struct child *c,
                                     const char *log)
{
    const char *common[] = {"--port", "0",           "--min-trust", "none", "--rate",
                            "0",      "--log-level", "info",        NULL};
    char store[CHILD_PATH_BYTES + 16], counts[CHILD_PATH_BYTES + 64];
    struct child_argv argv = {.n = 0};

    snprintf(store, sizeof store, "%s/store.db", c->dir);
    snprintf(counts, sizeof counts, "--callgrind-out-file=%s/%s", c->dir, callgrind_file);
    if (config->count_instructions) {
        child_push(&argv, "valgrind");
        child_push(&argv, "--tool=callgrind");
        child_push(&argv, counts);
    }
    child_push(&argv, config->program);
    child_push(&argv, "--store");
    child_push(&argv, store);
    child_push(&argv, "--loop");
    child_push(&argv, config->loop_name);
    for (int i = 0; common[i]; i++)
        child_push(&argv, common[i]);
    for (int i = 0; config->args && config->args[i]; i++)
        child_push(&argv, config->args[i]);
    return argv.full ? -1 : child_start_logged(argv.at, log, config->core);
}

static int child_start_in(const struct child_config *config, struct child *c, struct err *ret_err)
{
    char store[CHILD_PATH_BYTES + 16], log[CHILD_PATH_BYTES + 16];
    int rc;

    snprintf(store, sizeof store, "%s/store.db", c->dir);
    snprintf(log, sizeof log, "%s/log", c->dir);
    rc = child_make_key(config->program, store, c->key, ret_err);
    if (rc < 0)
        return rc;
    c->pid = child_start_coordinator(config, c, log);
    if (c->pid < 0)
        return err_errno(ret_err, ERR_IO, errno, "cannot start %s", config->program);
    return child_wait_until_started(c->pid, log, &c->port, ret_err);
}

int child_start(const struct child_config *config, struct child *ret_child, struct err *ret_err)
{
    const char *tmp = getenv("TMPDIR");
    struct child c = {.pid = -1};
    int rc;

    snprintf(c.dir, sizeof c.dir, "%s/darkbloom-bench-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(c.dir))
        return err_errno(ret_err, ERR_IO, errno, "cannot make a directory %s", c.dir);
    rc = child_start_in(config, &c, ret_err);
    if (rc < 0)
        child_stop(&c);
    else
        *ret_child = c;
    return rc;
}

int child_instructions(const struct child *c, const char *program,
                       struct callgrind_counts *ret_counts)
{
    char path[CHILD_PATH_BYTES + 32];

    snprintf(path, sizeof path, "%s/%s", c->dir, callgrind_file);
    return callgrind_read(path, program, ret_counts);
}

int64_t child_cpu_us(pid_t pid)
{
    char path[64];
    int64_t total_ns = 0;
    struct dirent *entry;
    DIR *dir;

    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    dir = opendir(path);
    while (dir && (entry = readdir(dir))) {
        char file[400];
        char text[64] = "";
        FILE *f;

        if (entry->d_name[0] == '.') /* "..": the main thread again */
            continue;
        snprintf(file, sizeof file, "/proc/%d/task/%s/schedstat", (int)pid, entry->d_name);
        f = fopen(file, "re");
        if (f && fgets(text, sizeof text, f))
            total_ns += strtoll(text, NULL, 10);
        if (f)
            fclose(f);
    }
    if (dir)
        closedir(dir);
    return total_ns / 1000;
}

static void child_remove_dir(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry;

    while (dir && (entry = readdir(dir))) {
        char file[CHILD_PATH_BYTES + 300];

        snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
        (void)unlink(file); /* "." and ".." stay: unlink takes no directory */
    }
    if (dir)
        closedir(dir);
    (void)rmdir(path);
}

void child_finish(struct child *c)
{
    if (c->pid <= 0)
        return;
    kill(c->pid, SIGTERM);
    waitpid(c->pid, NULL, 0);
    c->pid = -1;
}

void child_stop(struct child *c)
{
    child_finish(c);
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
    if (c->dir[0])
        child_remove_dir(c->dir);
    *c = (struct child){.pid = -1};
}
