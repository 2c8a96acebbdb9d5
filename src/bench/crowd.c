/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/crowd.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench/load.h"

enum {
    PROVIDERS_MAX = 64,
    CHALLENGE_WAIT_US = 700000, /* until a provider has answered its first one */
    WARM_UP_TRIES = 20,
    WARM_UP_US = 300000,
    WARM_UP_CONNECTIONS = 64 /* of each process: so many that each loop meets its key */
};

/* What a process says of each load. */
struct crowd_part {
    int64_t n, failed, elapsed_us, cpu_us, p50_us, p99_us;
    int rc;
};

/* --- in each process --- */

struct worker {
    struct loop *loop;
    struct loop_watch *watch;
    int end;
    uint16_t port;
    const char *key;
    struct null_provider *providers[PROVIDERS_MAX];
    struct null_script script; /* of all its providers */
    struct crowd_load load;
    bool asked; /* to run `load` */
};

static void crowd_on_command(void *ud, unsigned events)
{
    struct worker *w = ud;

    (void)events;
    w->asked = recv(w->end, &w->load, sizeof w->load, MSG_DONTWAIT) == sizeof w->load;
    loop_stop(w->loop); /* not asked: the parent has gone */
}

static int64_t crowd_cpu_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static struct crowd_part crowd_work(struct worker *w)
{
    const struct load_config config = {.loop = w->loop,
                                       .port = w->port,
                                       .api_key = w->key,
                                       .connections = w->load.connections,
                                       .duration_us = w->load.duration_us,
                                       .stream = w->load.stream,
                                       .min_events = w->load.min_events};
    struct crowd_part part = {.cpu_us = -crowd_cpu_us()};
    struct load_result r = {0};

    part.rc = load_run(&config, &r);
    part.cpu_us += crowd_cpu_us();
    part.n = (int64_t)r.n;
    part.failed = (int64_t)r.failed;
    part.elapsed_us = r.elapsed_us;
    part.p50_us = load_percentile(r.whole_us, r.n, 0.5);
    part.p99_us = load_percentile(r.whole_us, r.n, 0.99);
    load_result_free(&r);
    return part;
}

static int crowd_worker_open(struct worker *w, int n_providers)
{
    int rc = loop_epoll_new(&w->loop, NULL);

    w->script = (struct null_script){.chunks = 1};
    if (rc == 0)
        rc = loop_watch_add(w->loop, w->end, LOOP_READABLE, crowd_on_command, w, &w->watch);
    for (int i = 0; rc == 0 && i < n_providers && i < PROVIDERS_MAX; i++)
        rc = null_provider_new(w->loop, w->port, &w->script, &w->providers[i]);
    return rc;
}

/* Serve for the others too, from the start until the parent closes its end. */
static int crowd_process(struct worker *w, int n_providers)
{
    int rc = crowd_worker_open(w, n_providers);

    while (rc == 0) {
        struct crowd_part part;

        rc = loop_run(w->loop);
        if (!w->asked)
            return rc;
        w->asked = false;
        w->script = w->load.script;
        part = crowd_work(w);
        if (send(w->end, &part, sizeof part, MSG_NOSIGNAL) != sizeof part)
            rc = ERR_IO;
    }
    return rc;
}

/* --- in the parent --- */

static int crowd_start(struct crowd *c, int i, const struct crowd_config *config)
{
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return ERR_IO;
    c->ends[i] = ends[0];
    c->pids[i] = fork();
    if (c->pids[i] == 0) {
        struct worker w = {.end = ends[1], .port = config->port, .key = config->keys[i]};

        for (int k = 0; k <= i; k++)
            close(c->ends[k]); /* so that each process hears of its parent's end */
        _exit(crowd_process(&w, config->providers_each) < 0);
    }
    close(ends[1]);
    return c->pids[i] < 0 ? ERR_IO : 0;
}

static int64_t crowd_median(int64_t *v, int n)
{
    return load_percentile(v, (size_t)n, 0.5);
}

static int crowd_gather(struct crowd *c, struct crowd_result *ret)
{
    int64_t p50_us[CROWD_MAX];
    int rc = 0;

    *ret = (struct crowd_result){0};
    for (int i = 0; i < c->n; i++) {
        struct crowd_part part;

        if (recv(c->ends[i], &part, sizeof part, 0) != sizeof part || part.rc < 0) {
            rc = ERR_IO;
            continue;
        }
        ret->rate += part.elapsed_us ? (double)part.n * 1e6 / (double)part.elapsed_us : 0;
        ret->n += part.n;
        ret->failed += part.failed;
        ret->cpu_us += part.cpu_us;
        ret->elapsed_us = part.elapsed_us > ret->elapsed_us ? part.elapsed_us : ret->elapsed_us;
        ret->p99_us = part.p99_us > ret->p99_us ? part.p99_us : ret->p99_us;
        p50_us[i] = part.p50_us;
    }
    if (rc == 0)
        ret->p50_us = crowd_median(p50_us, c->n);
    return rc;
}

int crowd_run(struct crowd *c, const struct crowd_load *load, struct crowd_result *ret_result)
{
    for (int i = 0; i < c->n; i++) {
        if (send(c->ends[i], load, sizeof *load, MSG_NOSIGNAL) != sizeof *load)
            return ERR_IO;
    }
    return crowd_gather(c, ret_result);
}

/* A provider is asked once its first challenge was answered: wait for that, then until a short load
 * has no failure: keys that no loop knows yet are refused beyond so many a second. */
static int crowd_warm_up(struct crowd *c)
{
    const struct timespec challenge = {.tv_nsec = CHALLENGE_WAIT_US * 1000L};
    const struct crowd_load load = {
        .script = {.chunks = 1}, .connections = WARM_UP_CONNECTIONS, .duration_us = WARM_UP_US};

    nanosleep(&challenge, NULL);
    for (int i = 0; i < WARM_UP_TRIES; i++) {
        struct crowd_result r;
        int rc = crowd_run(c, &load, &r);

        if (rc < 0 || (r.failed == 0 && r.n > 0))
            return rc;
    }
    return ERR_TIMEOUT;
}

int crowd_new(const struct crowd_config *config, struct crowd *ret_crowd, struct err *ret_err)
{
    struct crowd *c = ret_crowd;
    int rc = 0;

    *c = (struct crowd){.n = 0};
    for (; rc == 0 && c->n < config->n; c->n++)
        rc = crowd_start(c, c->n, config);
    if (rc == 0)
        rc = crowd_warm_up(c);
    return rc < 0 ? err_set(ret_err, rc, "the load's processes got no answers: %s", err_str(rc))
                  : 0;
}

void crowd_free(struct crowd *c)
{
    for (int i = 0; i < c->n; i++)
        close(c->ends[i]);
    for (int i = 0; i < c->n; i++) {
        if (c->pids[i] > 0)
            waitpid(c->pids[i], NULL, 0);
    }
    *c = (struct crowd){.n = 0};
}
