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
#include <unistd.h>

#include "base/str.h"

enum { OUTPUT_BYTES = 64 << 10 };

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

/* Start a program with its stdout (fd 1) or stderr (fd 2) in a pipe. */
static pid_t spawn(char *const argv[], int capture_fd, int core, int *ret_pipe)
{
    int fds[2];
    pid_t pid;

    if (pipe2(fds, O_CLOEXEC) < 0)
        return -1;
    pid = fork();
    if (pid == 0) {
        if (core >= 0)
            (void)child_pin_self(core);
        dup2(fds[1], capture_fd);
        execv(argv[0], argv);
        _exit(127);
    }
    close(fds[1]);
    if (pid < 0)
        close(fds[0]);
    else
        *ret_pipe = fds[0];
    return pid;
}

static int make_key(const char *program, const char *store, char ret_key[static CHILD_KEY_BYTES],
                    struct err *ret_err)
{
    char *argv[] = {(char *)program, "--store",  (char *)store, "key", "create",
                    "bench",         "--credit", "1000000",     NULL};
    char out[4096] = "";
    size_t n = 0;
    ssize_t got;
    char *last;
    int fd, status;
    pid_t pid = spawn(argv, STDOUT_FILENO, -1, &fd);

    if (pid < 0)
        return err_errno(ret_err, ERR_IO, errno, "cannot start %s", program);
    while (n < sizeof out - 1 && (got = read(fd, out + n, sizeof out - 1 - n)) > 0)
        n += (size_t)got;
    close(fd);
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

/* The line "… event=started … port=N …" says that it listens. */
static int wait_until_started(int fd, uint16_t *ret_port, struct err *ret_err)
{
    char *out = calloc(1, OUTPUT_BYTES);
    size_t n = 0;
    ssize_t got;
    int rc = ERR_NOMEM;

    while (out && n < OUTPUT_BYTES - 1 && (got = read(fd, out + n, OUTPUT_BYTES - 1 - n)) > 0) {
        char *line, *port;

        n += (size_t)got;
        line = strstr(out, "event=started");
        port = line ? strstr(line, "port=") : NULL;
        if (port && strchr(port, '\n')) {
            *ret_port = (uint16_t)strtoul(port + 5, NULL, 10);
            free(out);
            return 0;
        }
    }
    if (out)
        rc = err_set(ret_err, ERR_IO, "the coordinator did not start: %.150s", out);
    free(out);
    return rc;
}

int child_start(const char *program, const char *loop_name, int core, struct child *ret_child,
                struct err *ret_err)
{
    struct child c = {.pid = -1};
    char store[CHILD_PATH_BYTES + 16];
    const char *tmp = getenv("TMPDIR");
    char *argv[] = {
        (char *)program, "--store", store,    "--port", "0",           "--loop", (char *)loop_name,
        "--min-trust",   "none",    "--rate", "0",      "--log-level", "info",   NULL};
    int fd, rc;

    snprintf(c.dir, sizeof c.dir, "%s/darkbloom-bench-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(c.dir))
        return err_errno(ret_err, ERR_IO, errno, "cannot make a directory %s", c.dir);
    snprintf(store, sizeof store, "%s/store.db", c.dir);
    rc = make_key(program, store, c.key, ret_err);
    if (rc < 0)
        return rc;
    c.pid = spawn(argv, STDERR_FILENO, core, &fd);
    if (c.pid < 0)
        return err_errno(ret_err, ERR_IO, errno, "cannot start %s", program);
    rc = wait_until_started(fd, &c.port, ret_err);
    if (rc < 0) {
        child_stop(&c);
        return rc;
    }
    /* Its log lines are of no interest and must not fill the pipe. */
    if (fork() == 0) {
        char sink[4096];

        while (read(fd, sink, sizeof sink) > 0)
            ;
        _exit(0);
    }
    close(fd);
    *ret_child = c;
    return 0;
}

int64_t child_cpu_us(const struct child *c)
{
    char path[64];
    int64_t total_ns = 0;
    struct dirent *entry;
    DIR *dir;

    snprintf(path, sizeof path, "/proc/%d/task", (int)c->pid);
    dir = opendir(path);
    while (dir && (entry = readdir(dir))) {
        char file[400];
        char text[64] = "";
        FILE *f;

        snprintf(file, sizeof file, "/proc/%d/task/%s/schedstat", (int)c->pid, entry->d_name);
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

static void remove_dir(const char *path)
{
    static const char *const files[] = {"store.db", "store.db-wal", "store.db-shm"};
    char file[CHILD_PATH_BYTES + 32];

    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        snprintf(file, sizeof file, "%s/%s", path, files[i]);
        (void)unlink(file);
    }
    (void)rmdir(path);
}

void child_stop(struct child *c)
{
    if (c->pid > 0) {
        kill(c->pid, SIGTERM);
        waitpid(c->pid, NULL, 0);
    }
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
    remove_dir(c->dir);
    c->pid = -1;
}
