/* SPDX-License-Identifier: Apache-2.0 */
/* The engine's sandbox, each time in a child that closes it around itself and tries to get out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "provider/engine/host/cage.h"

enum { GROWTH_BYTES = 256 << 20, OPEN = 1, CLOSED = 0 };

struct place {
    char dir[64], model[96], other[96];
    int32_t landlock_abi;
};

static void write_file(const char *path)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    assert_true(fputs("x", f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static int place_up(void **state)
{
    struct place *p = calloc(1, sizeof *p);

    snprintf(p->dir, sizeof p->dir, "/tmp/test_cage.XXXXXX");
    assert_non_null(mkdtemp(p->dir));
    snprintf(p->model, sizeof p->model, "%s/model.gguf", p->dir);
    snprintf(p->other, sizeof p->other, "%s/other.txt", p->dir);
    write_file(p->model);
    write_file(p->other);
    *state = p;
    return 0;
}

static int place_down(void **state)
{
    struct place *p = *state;

    unlink(p->model);
    unlink(p->other);
    rmdir(p->dir);
    free(p);
    return 0;
}

/* How a child ends in which `attempt` is made after the stages. */
static int in_cage(struct place *p, bool serving, int (*attempt)(struct place *p))
{
    pid_t pid = fork();
    int status;

    assert_true(pid >= 0);
    if (pid == 0) {
        if (cage_bind_to_parent(NULL) < 0 ||
            cage_close_for_loading(p->model, "/nonexistent", &p->landlock_abi, NULL) < 0 ||
            (serving && cage_close_for_serving(GROWTH_BYTES, NULL) < 0))
            _exit(99);
        _exit(attempt(p));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

#define ASSERT_EXIT(status, code)                      \
    do {                                               \
        assert_true(WIFEXITED(status));                \
        assert_int_equal(WEXITSTATUS(status), (code)); \
    } while (0)

static int try_open(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0600);

    return fd >= 0 ? OPEN : CLOSED;
}

static int open_model(struct place *p)
{
    return try_open(p->model, O_RDONLY);
}

static int open_other(struct place *p)
{
    return try_open(p->other, O_RDONLY);
}

static int write_model(struct place *p)
{
    return try_open(p->model, O_WRONLY);
}

static int make_file(struct place *p)
{
    char path[128];

    snprintf(path, sizeof path, "%s/new", p->dir);
    return try_open(path, O_WRONLY | O_CREAT);
}

static int has_landlock(struct place *p)
{
    return p->landlock_abi > 0;
}

static void while_it_loads_only_the_model_can_be_read(void **state)
{
    struct place *p = *state;

    ASSERT_EXIT(in_cage(p, false, open_model), OPEN);
    if (WEXITSTATUS(in_cage(p, false, has_landlock)) == 0)
        skip(); /* this kernel restricts no files while the engine loads */
    ASSERT_EXIT(in_cage(p, false, open_other), CLOSED);
    ASSERT_EXIT(in_cage(p, false, write_model), CLOSED);
    ASSERT_EXIT(in_cage(p, false, make_file), CLOSED);
}

static void while_it_serves_no_file_can_be_opened(void **state)
{
    ASSERT_EXIT(in_cage(*state, true, open_model), CLOSED);
    ASSERT_EXIT(in_cage(*state, true, open_other), CLOSED);
    ASSERT_EXIT(in_cage(*state, true, make_file), CLOSED);
}

static int open_sockets(struct place *p)
{
    int families[] = {AF_INET, AF_INET6, AF_UNIX, AF_NETLINK, AF_PACKET};
    int pair[2];

    (void)p;
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
        if (socket(families[i], SOCK_STREAM, 0) >= 0 || errno != EPERM)
            return OPEN;
    }
    return socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 ? OPEN : CLOSED;
}

static void there_is_no_network_in_either_stage(void **state)
{
    ASSERT_EXIT(in_cage(*state, false, open_sockets), CLOSED);
    ASSERT_EXIT(in_cage(*state, true, open_sockets), CLOSED);
}

static int run_program(struct place *p)
{
    char name[] = "/bin/true";
    char *const argv[] = {name, NULL};

    (void)p;
    (void)execve(name, argv, argv + 1);
    return OPEN;
}

static int trace_parent(struct place *p)
{
    (void)p;
    (void)ptrace(PTRACE_ATTACH, getppid(), NULL, NULL);
    return OPEN;
}

static void running_a_program_or_tracing_one_ends_it(void **state)
{
    int status = in_cage(*state, true, run_program);

    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
    status = in_cage(*state, false, run_program);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
    status = in_cage(*state, true, trace_parent);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
}

static int make_process(struct place *p)
{
    (void)p;
    return syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) >= 0;
}

static int kill_parent(struct place *p)
{
    (void)p;
    return kill(getppid(), 0) == 0 || syscall(SYS_tgkill, getppid(), getppid(), 0) == 0;
}

static void other_processes_are_neither_made_nor_reached(void **state)
{
    ASSERT_EXIT(in_cage(*state, true, make_process), CLOSED);
    ASSERT_EXIT(in_cage(*state, true, kill_parent), CLOSED);
}

static int make_code(struct place *p)
{
    void *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    (void)p;
    return at == MAP_FAILED || mprotect(at, 4096, PROT_READ | PROT_EXEC) == 0 ||
           mmap(NULL, 4096, PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED;
}

static void no_memory_becomes_code(void **state)
{
    ASSERT_EXIT(in_cage(*state, true, make_code), CLOSED);
}

static bool can_take(size_t bytes)
{
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (at != MAP_FAILED)
        munmap(at, bytes);
    return at != MAP_FAILED;
}

static int take_memory(struct place *p)
{
    (void)p;
    return can_take(GROWTH_BYTES / 2) && !can_take(2 * (size_t)GROWTH_BYTES) ? CLOSED : OPEN;
}

static void memory_ends_where_the_limit_is(void **state)
{
    ASSERT_EXIT(in_cage(*state, true, take_memory), CLOSED);
}

static void *run_thread(void *arg)
{
    *(int *)arg = open("/dev/null", O_RDONLY) >= 0;
    return NULL;
}

static int use_thread(struct place *p)
{
    pthread_t thread;
    int opened = 1;

    (void)p;
    if (pthread_create(&thread, NULL, run_thread, &opened) != 0)
        return 2;
    pthread_join(thread, NULL);
    return opened;
}

static void threads_can_be_made_and_are_held_too(void **state)
{
    ASSERT_EXIT(in_cage(*state, true, use_thread), CLOSED);
}

static int look_at_facts(struct place *p)
{
    const struct cage_facts f = cage_measure();

    (void)p;
    return f.no_new_files && f.no_network && f.filtered && f.not_dumpable ? CLOSED : OPEN;
}

static void the_facts_are_those_that_hold(void **state)
{
    const struct cage_facts outside = cage_measure();

    assert_false(outside.no_new_files || outside.no_network || outside.filtered ||
                 outside.not_dumpable);
    ASSERT_EXIT(in_cage(*state, true, look_at_facts), CLOSED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, place_up, place_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(while_it_loads_only_the_model_can_be_read),
        TEST(while_it_serves_no_file_can_be_opened),
        TEST(there_is_no_network_in_either_stage),
        TEST(running_a_program_or_tracing_one_ends_it),
        TEST(other_processes_are_neither_made_nor_reached),
        TEST(no_memory_becomes_code),
        TEST(memory_ends_where_the_limit_is),
        TEST(threads_can_be_made_and_are_held_too),
        TEST(the_facts_are_those_that_hold),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
