/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/peers.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    ARGS_MAX = 64,
    EXTRA_BYTES = 1024,
    LOG_BYTES = 1500,
    READY_WAIT_US = 100000,
    READY_TRIES = 3000, /* five minutes: a large model is hashed and loaded */
};

/* The budgets of a request's time are for a fleet: here one machine that others may share answers,
 * and however late it is, the table says so. */
static const char *const peers_coordinator_args[] = {"--first-content-ms",
                                                     "600000",
                                                     "--first-token-timeout-ms",
                                                     "600000",
                                                     "--token-gap-timeout-ms",
                                                     "600000",
                                                     "--queue-wait-ms",
                                                     "120000",
                                                     NULL};

struct peers_argv {
    char *at[ARGS_MAX + 1];
    int n;
    char extra[EXTRA_BYTES];
};

static void peers_push(struct peers_argv *argv, const char *arg)
{
    if (argv->n < ARGS_MAX)
        argv->at[argv->n++] = (char *)arg; /* execvp does not write to it */
}

static void peers_push_all(struct peers_argv *argv, const char *const *args)
{
    for (int i = 0; args[i]; i++)
        peers_push(argv, args[i]);
}

static void peers_push_words(struct peers_argv *argv, const char *words)
{
    char *rest = argv->extra, *word;

    snprintf(argv->extra, sizeof argv->extra, "%s", words ? words : "");
    while ((word = strsep(&rest, " "))) {
        if (*word)
            peers_push(argv, word);
    }
}

/* --- processes --- */

static int peers_start_coordinator(const struct peers_config *config, struct peers *p,
                                   struct err *ret_err)
{
    const struct child_config child = {.program = config->coordinator,
                                       .loop_name = "uv",
                                       .core = -1,
                                       .min_trust = "self_signed",
                                       .args = peers_coordinator_args};
    int rc = child_start(&child, &p->coordinator, ret_err);

    return rc < 0 ? rc
                  : child_make_key(config->coordinator, &p->coordinator, "other", p->other_key,
                                   ret_err);
}

static int peers_start_program(const char *dir, const char *name, struct peers_argv *argv,
                               pid_t *ret_pid, struct err *ret_err)
{
    char log[CHILD_PATH_BYTES + 32];
    pid_t pid;

    snprintf(log, sizeof log, "%s/%s.log", dir, name);
    pid = child_start_logged(argv->at, log, -1);
    if (pid < 0)
        return err_errno(ret_err, ERR_IO, errno, "cannot start %s", argv->at[0]);
    *ret_pid = pid;
    return 0;
}

static int peers_start_provider(const struct peers_config *config, struct peers *p,
                                struct err *ret_err)
{
    struct peers_argv argv = {.n = 0};
    char url[64], key[CHILD_PATH_BYTES + 32], slots[16], context[16];

    snprintf(url, sizeof url, "ws://127.0.0.1:%u/ws/provider", p->coordinator.port);
    snprintf(key, sizeof key, "%s/provider.pem", p->coordinator.dir);
    snprintf(slots, sizeof slots, "%d", config->slots);
    snprintf(context, sizeof context, "%d", config->context_tokens);
    peers_push_all(&argv,
                   (const char *const[]){config->provider, "serve", "--coordinator", url, "--model",
                                         config->model, "--model-id", "peer", "--key", key,
                                         "--slots", slots, "--context", context, NULL});
    peers_push_words(&argv, config->provider_args);
    return peers_start_program(p->coordinator.dir, "provider", &argv, &p->provider, ret_err);
}

/* What it takes by itself stays as it is: flash attention, batch sizes, its cache of prompts. */
static int peers_start_server(const struct peers_config *config, struct peers *p,
                              struct err *ret_err)
{
    struct peers_argv argv = {.n = 0};
    char port[8], streams[16], context[16], threads[16];

    p->server_port = child_free_port();
    snprintf(port, sizeof port, "%u", p->server_port);
    snprintf(streams, sizeof streams, "%d", config->streams);
    snprintf(context, sizeof context, "%d", config->streams * config->context_tokens);
    snprintf(threads, sizeof threads, "%ld", sysconf(_SC_NPROCESSORS_ONLN));
    peers_push_all(&argv, (const char *const[]){config->server, "--host", "127.0.0.1", "--port",
                                                port, "--model", config->model, "--alias", "peer",
                                                "--no-webui", "--offline", "-np", streams, "-c",
                                                context, "--threads", threads, NULL});
    peers_push_words(&argv, config->server_args);
    return peers_start_program(p->coordinator.dir, "llama-server", &argv, &p->server, ret_err);
}

static void peers_end(pid_t *pid)
{
    if (*pid <= 0)
        return;
    kill(*pid, SIGCONT);
    kill(*pid, SIGTERM);
    for (int i = 0; i < 200 && waitpid(*pid, NULL, WNOHANG) == 0; i++)
        usleep(50000);
    kill(*pid, SIGKILL);
    waitpid(*pid, NULL, 0);
    *pid = -1;
}

/* --- ready --- */

static void peers_stop_loop(void *ud)
{
    loop_stop(ud);
}

void peers_wait(struct peers *p, int64_t us)
{
    struct loop_timer timer = {0};

    loop_timer_set(p->loop, &timer, us, peers_stop_loop, p->loop);
    (void)loop_run(p->loop);
    loop_timer_clear(p->loop, &timer);
}

static void peers_on_end(void *ud, struct stream *s)
{
    struct peers *p = ud;

    (void)s;
    loop_stop(p->loop);
}

static bool peers_answers(struct peers *p, enum peers_side side, struct str body)
{
    const struct stream_config config = {.loop = p->loop,
                                         .port = peers_port(p, side),
                                         .api_key = peers_key(p, side),
                                         .body = body,
                                         .on_end = peers_on_end,
                                         .ud = p};
    struct stream *s;
    bool whole;

    if (stream_new(&config, &s) < 0)
        return false;
    (void)loop_run(p->loop);
    whole = stream_seen(s)->whole;
    stream_free(s);
    return whole;
}

/* The log goes with its directory: its last words are what explains a start that failed. */
static void peers_show_log(const struct peers *p, const char *name)
{
    char path[CHILD_PATH_BYTES + 32], text[LOG_BYTES];
    FILE *f;
    size_t n;

    snprintf(path, sizeof path, "%s/%s.log", p->coordinator.dir, name);
    f = fopen(path, "re");
    if (!f)
        return;
    if (fseek(f, -(long)sizeof text, SEEK_END) < 0)
        rewind(f);
    n = fread(text, 1, sizeof text, f);
    fclose(f);
    fprintf(stderr, "The end of the log of %s:\n%.*s\n", name, (int)n, text);
}

static int peers_wait_until_ready(struct peers *p, enum peers_side side, struct str body,
                                  struct err *ret_err)
{
    const char *name = side == PEERS_PRODUCT ? "provider" : "llama-server";
    pid_t pid = side == PEERS_PRODUCT ? p->provider : p->server;

    for (int i = 0; i < READY_TRIES; i++) {
        if (peers_answers(p, side, body))
            return 0;
        if (waitpid(pid, NULL, WNOHANG) == pid) {
            peers_show_log(p, name);
            return err_set(ret_err, ERR_IO, "the %s ended at its start", name);
        }
        peers_wait(p, READY_WAIT_US);
    }
    peers_show_log(p, name);
    return err_set(ret_err, ERR_TIMEOUT, "the %s did not answer", name);
}

int peers_start(const struct peers_config *config, struct str body, struct peers *ret_peers,
                struct err *ret_err)
{
    struct peers *p = ret_peers;
    int rc;

    *p = (struct peers){.coordinator = {.pid = -1}, .provider = -1, .server = -1};
    rc = loop_epoll_new(&p->loop, ret_err);
    if (rc == 0)
        rc = peers_start_coordinator(config, p, ret_err);
    if (rc == 0)
        rc = peers_start_provider(config, p, ret_err);
    if (rc == 0)
        rc = peers_wait_until_ready(p, PEERS_PRODUCT, body, ret_err);
    if (rc == 0)
        rc = peers_start_server(config, p, ret_err);
    if (rc == 0)
        rc = peers_wait_until_ready(p, PEERS_SERVER, body, ret_err);
    if (rc == 0)
        peers_turn(p, PEERS_PRODUCT);
    return rc;
}

void peers_stop(struct peers *p)
{
    peers_end(&p->provider);
    peers_end(&p->server);
    loop_free(p->loop);
    child_stop(&p->coordinator);
    p->loop = NULL;
}

/* --- turns --- */

static int64_t peers_product_cpu_us(const struct peers *p)
{
    return child_cpu_us(p->coordinator.pid) + child_cpu_us(p->provider);
}

void peers_turn(struct peers *p, enum peers_side side)
{
    struct clock clock = loop_clock(p->loop);
    int64_t now_us = clock_mono_us(&clock);

    if (side == PEERS_SERVER && !p->paused_at_us) {
        p->paused_at_us = now_us;
        p->paused_cpu_us = peers_product_cpu_us(p);
        kill(p->server, SIGCONT);
    } else if (side == PEERS_PRODUCT) {
        kill(p->server, SIGSTOP);
        if (p->paused_at_us) {
            p->idle_us += now_us - p->paused_at_us;
            p->idle_cpu_us += peers_product_cpu_us(p) - p->paused_cpu_us;
        }
        p->paused_at_us = 0;
    }
}

uint16_t peers_port(const struct peers *p, enum peers_side side)
{
    return side == PEERS_PRODUCT ? p->coordinator.port : p->server_port;
}

const char *peers_key(const struct peers *p, enum peers_side side)
{
    return side == PEERS_PRODUCT ? p->coordinator.key : NULL;
}
