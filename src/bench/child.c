/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/child.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/str.h"

enum {
    OUTPUT_BYTES = 16 << 10,
    METRICS_BYTES = 1 << 20,
    START_TRIES = 1500,
    ARGS_MAX = 48,
    PAUSE_NS = 20000000
};

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
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* where it fails it may outlive us */
    if (core >= 0)
        (void)child_pin_self(core);
    if (dup2(fd, as) < 0)
        _exit(127);
    execvp(argv[0], argv);
    _exit(127);
}

pid_t child_start_logged(char *const argv[], const char *log, int core)
{
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    pid_t pid = fd < 0 ? -1 : child_spawn(argv, fd, STDERR_FILENO, core);

    if (fd >= 0)
        close(fd);
    return pid;
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

static void child_push_all(struct child_argv *argv, const char *const *args)
{
    for (int i = 0; args && args[i]; i++)
        child_push(argv, args[i]);
}

static pid_t child_start_coordinator(const struct child_config *config, const struct child *c,
                                     const char *log)
{
    const char *common[] = {"--rate", "0", "--log-level", "info", NULL};
    char store[CHILD_PATH_BYTES + 16], counts[CHILD_PATH_BYTES + 64], port[8], metrics[32];
    struct child_argv argv = {.n = 0};

    /* The null provider carries what it is given. By the environment: older coordinators, which a
     * run may compare with, do not know the flag. */
    (void)setenv("DARKBLOOM_MIN_STREAM_TPS", "0", 0);
    snprintf(store, sizeof store, "%s/store.db", c->dir);
    snprintf(counts, sizeof counts, "--callgrind-out-file=%s/%s", c->dir, callgrind_file);
    snprintf(port, sizeof port, "%u", c->port);
    snprintf(metrics, sizeof metrics, "127.0.0.1:%u", c->metrics_port);
    if (config->count_instructions) {
        child_push(&argv, "valgrind");
        child_push(&argv, "--tool=callgrind");
        child_push(&argv, counts);
    }
    child_push_all(&argv,
                   (const char *const[]){config->program, "--store", store, "--loop",
                                         config->loop_name, "--port", port, "--min-trust",
                                         config->min_trust ? config->min_trust : "none", NULL});
    child_push_all(&argv, common);
    if (config->metrics)
        child_push_all(&argv, (const char *const[]){"--metrics", metrics, NULL});
    child_push_all(&argv, config->args);
    return argv.full ? -1 : child_start_logged(argv.at, log, config->core);
}

static int child_start_in(const struct child_config *config, struct child *c, struct err *ret_err)
{
    char log[CHILD_PATH_BYTES + 16];

    snprintf(log, sizeof log, "%s/log-%d", c->dir, c->starts++);
    c->pid = child_start_coordinator(config, c, log);
    if (c->pid < 0)
        return err_errno(ret_err, ERR_IO, errno, "cannot start %s", config->program);
    return child_wait_until_started(c->pid, log, &c->port, ret_err);
}

uint16_t child_free_port(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof at;
    int sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool ok = sock >= 0 && bind(sock, (struct sockaddr *)&at, sizeof at) == 0 &&
              getsockname(sock, (struct sockaddr *)&at, &n) == 0;

    if (sock >= 0)
        close(sock);
    return ok ? ntohs(at.sin_port) : 0;
}

/* The whole of what a socket says until its end. */
static size_t child_read_all(int fd, char *ret_text, size_t cap)
{
    size_t n = 0;
    ssize_t got = 1;

    while (n < cap - 1 && (got = read(fd, ret_text + n, cap - 1 - n)) > 0)
        n += (size_t)got;
    ret_text[n] = '\0';
    return n;
}

int child_command(const char *program, const struct child *c, const char *const *words,
                  char *ret_output, size_t cap)
{
    char store[CHILD_PATH_BYTES + 16];
    struct child_argv argv = {.n = 0};
    int fds[2], status;
    pid_t pid;

    snprintf(store, sizeof store, "%s/store.db", c->dir);
    child_push_all(&argv, (const char *const[]){program, "--store", store, NULL});
    child_push_all(&argv, words);
    if (argv.full || pipe2(fds, O_CLOEXEC) < 0)
        return ERR_IO;
    pid = child_spawn(argv.at, fds[1], STDOUT_FILENO, -1);
    close(fds[1]);
    (void)child_read_all(fds[0], ret_output, cap);
    close(fds[0]);
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
        return ERR_IO;
    return WEXITSTATUS(status);
}

/* The last line of what `key create` prints. */
int child_make_key(const char *program, const struct child *c, const char *account,
                   char ret_key[CHILD_KEY_BYTES], struct err *ret_err)
{
    const char *const words[] = {"key", "create", account, "--credit", "1000000", NULL};
    char out[4096];
    int status = child_command(program, c, words, out, sizeof out);
    size_t n = strlen(out);
    char *last;

    if (status < 0)
        return err_set(ret_err, ERR_IO, "cannot start %s", program);
    while (n > 0 && out[n - 1] == '\n')
        out[--n] = 0;
    last = strrchr(out, '\n');
    last = last ? last + 1 : out;
    if (status != 0 || strlen(last) >= CHILD_KEY_BYTES)
        return err_set(ret_err, ERR_IO, "`key create` failed");
    memcpy(ret_key, last, strlen(last) + 1);
    return 0;
}

static int child_start_first(const struct child_config *config, struct child *c,
                             struct err *ret_err)
{
    int rc = child_make_key(config->program, c, "bench", c->key, ret_err);

    if (config->metrics)
        c->metrics_port = child_free_port();
    return rc < 0 ? rc : child_start_in(config, c, ret_err);
}

int child_start(const struct child_config *config, struct child *ret_child, struct err *ret_err)
{
    const char *tmp = getenv("TMPDIR");
    struct child c = {.pid = -1};
    int rc;

    snprintf(c.dir, sizeof c.dir, "%s/darkbloom-bench-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(c.dir))
        return err_errno(ret_err, ERR_IO, errno, "cannot make a directory %s", c.dir);
    rc = child_start_first(config, &c, ret_err);
    if (rc < 0)
        child_stop(&c);
    else
        *ret_child = c;
    return rc;
}

int child_restart(const struct child_config *config, struct child *c, struct err *ret_err)
{
    kill(c->pid, SIGKILL);
    waitpid(c->pid, NULL, 0);
    return child_start_in(config, c, ret_err);
}

/* "name 3" or "name{label="x"} 3", each on a line of its own; the table says "# TYPE name" also
 * where it has no values. */
static int child_sum(const char *text, const char *name, double *ret_value)
{
    char wanted[128];
    double sum = 0;
    size_t n;

    snprintf(wanted, sizeof wanted, "\n# TYPE %s ", name);
    if (!strstr(text, wanted))
        return ERR_IO;
    n = (size_t)snprintf(wanted, sizeof wanted, "\n%s", name);
    for (const char *at = strstr(text, wanted); at; at = strstr(at + n, wanted)) {
        const char *end = at + 1 + strcspn(at + 1, "\n");
        const char *space = memrchr(at + n, ' ', (size_t)(end - at) - n);

        if (space && (at[n] == ' ' || at[n] == '{'))
            sum += strtod(space, NULL);
    }
    *ret_value = sum;
    return 0;
}

int child_gauge(const struct child *c, const char *name, double *ret_value)
{
    static const char ask[] = "GET /metrics HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n";
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(c->metrics_port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct timeval patience = {.tv_sec = 1};
    int sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char *text = malloc(METRICS_BYTES);
    int rc = ERR_IO;

    if (text && sock >= 0 &&
        setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) == 0 &&
        connect(sock, (struct sockaddr *)&to, sizeof to) == 0 &&
        write(sock, ask, sizeof ask - 1) == (ssize_t)(sizeof ask - 1) &&
        child_read_all(sock, text, METRICS_BYTES) > 0)
        rc = child_sum(text, name, ret_value);
    if (sock >= 0)
        close(sock);
    free(text);
    return rc;
}

int64_t child_resident_kib(pid_t pid)
{
    char path[64], line[256];
    int64_t kib = 0;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    f = fopen(path, "re");
    while (f && fgets(line, sizeof line, f)) {
        if (strncmp(line, "VmRSS:", 6) == 0)
            kib = strtoll(line + 6, NULL, 10);
    }
    if (f)
        fclose(f);
    return kib;
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
