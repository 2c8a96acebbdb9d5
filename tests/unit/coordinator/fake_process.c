/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/coordinator/fake_process.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <sodium.h>

#include "coordinator/reload.h"
#include "coordinator/server.h"
#include "ledger/ledger.h"
#include "store/place.h"

enum { REGION_BYTES = 8 << 20 };

void fake_process_prepare(struct fake_process *p, const char *toml)
{
    memset(p, 0, sizeof *p);
    snprintf(p->dir, sizeof p->dir, "/tmp/darkbloom-process-XXXXXX");
    assert_non_null(mkdtemp(p->dir));
    snprintf(p->file, sizeof p->file, "%s/settings.toml", p->dir);
    fake_process_write_settings(p, toml);
}

void fake_process_write_settings(struct fake_process *p, const char *toml)
{
    FILE *f = fopen(p->file, "we");

    assert_non_null(f);
    fprintf(f,
            "server.port = 0\nstore.path = \"%s/test.db\"\nmetrics.listen = \"127.0.0.1:0\"\n%s\n",
            p->dir, toml);
    assert_int_equal(fclose(f), 0);
}

static const char *fake_process_env(const char *name)
{
    return getenv(name);
}

/* In the child. */
static int fake_process_run(const char *file)
{
    char *argv[] = {NULL};
    const struct cfg_source src = {&settings_table, 1, argv, fake_process_env};
    struct settings settings;
    struct arena region;
    struct err e = {0};
    int rc;

    if (sodium_init() < 0)
        return 1;
    arena_init(&region, REGION_BYTES);
    rc = reload_read(&src, str_from(file), &region, &settings, &e);
    if (rc == 0)
        rc = server_run(&src, str_from(file), &settings, &e);
    if (rc < 0)
        fprintf(stderr, "event=failed error=\"%s\"\n", e.text);
    arena_free(&region);
    return rc < 0 ? 1 : 0;
}

static uint16_t fake_process_number(const struct fake_process *p, const char *name)
{
    const char *at = strstr(p->said, name);

    assert_non_null(at);
    return (uint16_t)strtol(at + strlen(name), NULL, 10);
}

void fake_process_start(struct fake_process *p)
{
    int ends[2];

    assert_int_equal(pipe(ends), 0);
    p->pid = fork();
    assert_true(p->pid >= 0);
    if (p->pid == 0) {
        (void)dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        _exit(fake_process_run(p->file));
    }
    close(ends[1]);
    p->log = ends[0];
    fake_process_wait_for(p, "event=started");
    p->port = fake_process_number(p, " port=");
    p->metrics_port = fake_process_number(p, " metrics_port=");
}

void fake_process_wait_for(struct fake_process *p, const char *words)
{
    while (!strstr(p->said, words)) {
        ssize_t n = read(p->log, p->said + p->n_said, sizeof p->said - 1 - p->n_said);

        if (n <= 0)
            fail_msg("it never said %s, but:\n%s", words, p->said);
        p->n_said += (size_t)n;
        p->said[p->n_said] = 0;
    }
}

void fake_process_signal(struct fake_process *p, int signo)
{
    assert_int_equal(kill(p->pid, signo), 0);
}

int fake_process_end(struct fake_process *p)
{
    int status;
    ssize_t n;

    while ((n = read(p->log, p->said + p->n_said, sizeof p->said - 1 - p->n_said)) > 0)
        p->n_said += (size_t)n;
    p->said[p->n_said] = 0;
    close(p->log);
    assert_int_equal(waitpid(p->pid, &status, 0), p->pid);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

void fake_process_make_key(struct fake_process *p, char ret_key[static KEY_TEXT_BYTES])
{
    const struct rand_src rand = rand_system();
    char path[96];
    struct db *db;

    assert_true(sodium_init() >= 0);
    snprintf(path, sizeof path, "%s/test.db", p->dir);
    assert_int_equal(store_open_db(path, DB_CREATE, &db, NULL), 0);
    assert_int_equal(db_begin(db), 0);
    assert_int_equal(key_create(db, STR("alice"), &rand, 1, ret_key), 0);
    assert_int_equal(ledger_credit(db, STR("alice"), 1000000, STR("start"), 1), 0);
    assert_int_equal(db_commit(db), 0);
    db_close(db);
}

void fake_process_free(struct fake_process *p)
{
    char command[96];

    snprintf(command, sizeof command, "rm -r %s", p->dir);
    assert_int_equal(system(command), 0);
}

int fake_process_connect(uint16_t port)
{
    const struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(sock >= 0);
    assert_int_equal(connect(sock, (const struct sockaddr *)&at, sizeof at), 0);
    return sock;
}

void fake_process_send(int sock, const char *request)
{
    size_t n = strlen(request);

    assert_int_equal(send(sock, request, n, 0), n);
}

void fake_process_get(int sock, const char *path, char *ret_answer, size_t size)
{
    char request[200];
    size_t n = 0;
    ssize_t got;
    int len = snprintf(request, sizeof request,
                       "GET %s HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n", path);

    assert_int_equal(send(sock, request, (size_t)len, 0), len);
    while (n < size - 1 && (got = recv(sock, ret_answer + n, size - 1 - n, 0)) > 0)
        n += (size_t)got;
    ret_answer[n] = 0;
    close(sock);
}
