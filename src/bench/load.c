/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/load.h"

#include <llhttp.h>
#include <stdlib.h>

#include "base/list.h"
#include "net/conn.h"

enum { IN_MAX_BYTES = 4 << 20, OUT_MAX_BYTES = 64 << 10 };

struct run {
    const struct load_config *config;
    struct load_result result;
    struct clock clock;
    struct buf request;
    struct loop_timer end;
    int started, finished, open;
    int64_t began_us;
    bool over;
};

struct client {
    struct run *run;
    struct conn *conn;
    llhttp_t parser;
    llhttp_settings_t settings;
    int64_t sent_us, first_us;
    char previous; /* last body byte: events are counted by their blank lines */
    int events;
    bool busy;
};

static bool load_wants_more(const struct run *run)
{
    return !run->over && (run->config->requests == 0 || run->started < run->config->requests);
}

static void load_send_next(struct client *c)
{
    struct run *run = c->run;
    struct str request = buf_view(&run->request);

    if (!load_wants_more(run)) {
        if (run->finished == run->started)
            loop_stop(run->config->loop);
        return;
    }
    run->started++;
    c->busy = true;
    c->sent_us = clock_mono_us(&run->clock);
    c->first_us = 0;
    c->previous = 0;
    c->events = 0;
    (void)conn_write(c->conn, &request, 1);
}

static int load_on_body(llhttp_t *p, const char *at, size_t n)
{
    struct client *c = p->data;

    if (!c->first_us)
        c->first_us = clock_mono_us(&c->run->clock);
    for (size_t i = 0; i < n; i++) {
        c->events += at[i] == '\n' && c->previous == '\n';
        c->previous = at[i];
    }
    return 0;
}

static int load_on_complete(llhttp_t *p)
{
    struct client *c = p->data;
    struct run *run = c->run;
    struct load_result *r = &run->result;

    run->finished++;
    c->busy = false;
    if (p->status_code != 200 || c->events < run->config->min_events) {
        r->failed++;
    } else if (run->finished > run->config->warm_up && r->n < r->cap) {
        r->first_us[r->n] = c->first_us - c->sent_us;
        r->whole_us[r->n++] = clock_mono_us(&run->clock) - c->sent_us;
    }
    load_send_next(c);
    return 0;
}

static void load_on_data(void *ud)
{
    struct client *c = ud;
    struct buf *in = conn_in(c->conn);
    struct str v = buf_view(in);

    if (llhttp_execute(&c->parser, v.p, v.n) != HPE_OK) {
        c->run->result.failed++;
        loop_stop(c->run->config->loop);
    }
    buf_consume(in, v.n);
}

static void load_on_close(void *ud, int reason)
{
    struct client *c = ud;
    struct run *run = c->run;

    (void)reason;
    conn_free(c->conn);
    c->conn = NULL;
    if (c->busy) {
        run->result.failed++;
        run->finished++;
    }
    if (--run->open == 0)
        loop_stop(run->config->loop);
}

static void load_on_connect(void *ud, int sock)
{
    static const struct conn_ops ops = {.on_data = load_on_data, .on_close = load_on_close};
    const struct conn_config config = {
        .in_max_bytes = IN_MAX_BYTES, .out_max_bytes = OUT_MAX_BYTES, .urgent = true};
    struct client *c = ud;

    if (sock < 0 || conn_new(c->run->config->loop, sock, &config, &ops, c, &c->conn) < 0) {
        c->run->result.failed++;
        loop_stop(c->run->config->loop);
        return;
    }
    c->run->open++;
    llhttp_settings_init(&c->settings);
    c->settings.on_body = load_on_body;
    c->settings.on_message_complete = load_on_complete;
    llhttp_init(&c->parser, HTTP_RESPONSE, &c->settings);
    c->parser.data = c;
    load_send_next(c);
}

static void load_time_over(void *ud)
{
    struct run *run = ud;

    run->over = true;
    if (run->finished == run->started)
        loop_stop(run->config->loop);
}

static int load_build_request(struct run *run)
{
    const struct load_config *config = run->config;
    struct buf body;
    int rc;

    buf_init(&body, OUT_MAX_BYTES);
    rc = buf_printf(&body,
                    "{\"model\":\"bench-model\",\"stream\":%s,\"max_tokens\":64,\"messages\":[{"
                    "\"role\":\"system\",\"content\":\"You are a helpful assistant.\"},{\"role\":"
                    "\"user\",\"content\":\"%0900d\"}]}",
                    config->stream ? "true" : "false", 7);
    if (rc == 0)
        rc = buf_printf(&run->request,
                        "POST /v1/chat/completions HTTP/1.1\r\nHost: bench\r\n"
                        "Content-Type: application/json\r\n%s%s%sContent-Length: %zu\r\n\r\n",
                        config->api_key ? "Authorization: Bearer " : "",
                        config->api_key ? config->api_key : "", config->api_key ? "\r\n" : "",
                        body.len);
    if (rc == 0)
        rc = buf_append_str(&run->request, buf_view(&body));
    buf_free(&body);
    return rc;
}

static int load_prepare(struct run *run)
{
    const struct load_config *config = run->config;

    run->result.cap = config->requests > 0 ? (size_t)config->requests : 2000000;
    run->result.first_us = calloc(run->result.cap, sizeof(int64_t));
    run->result.whole_us = calloc(run->result.cap, sizeof(int64_t));
    buf_init(&run->request, OUT_MAX_BYTES);
    return run->result.first_us && run->result.whole_us ? load_build_request(run) : ERR_NOMEM;
}

int load_run(const struct load_config *config, struct load_result *ret_result)
{
    struct run run = {.config = config, .clock = loop_clock(config->loop)};
    struct client *clients = calloc((size_t)config->connections, sizeof *clients);
    int rc = clients ? load_prepare(&run) : ERR_NOMEM;

    if (rc == 0) {
        run.began_us = clock_mono_us(&run.clock);
        for (int i = 0; i < config->connections; i++) {
            clients[i].run = &run;
            loop_connect(config->loop, "127.0.0.1", config->port, load_on_connect, &clients[i]);
        }
        if (config->duration_us > 0)
            loop_timer_set(config->loop, &run.end, config->duration_us, load_time_over, &run);
        rc = loop_run(config->loop);
        run.result.elapsed_us = clock_mono_us(&run.clock) - run.began_us;
    }
    loop_timer_clear(config->loop, &run.end);
    for (int i = 0; clients && i < config->connections; i++)
        conn_free(clients[i].conn);
    buf_free(&run.request);
    free(clients);
    if (rc < 0)
        load_result_free(&run.result);
    else
        *ret_result = run.result;
    return rc;
}

void load_result_free(struct load_result *r)
{
    free(r->first_us);
    free(r->whole_us);
    *r = (struct load_result){0};
}

static int load_ascending(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

int64_t load_percentile(int64_t *samples, size_t n, double p)
{
    if (n == 0)
        return 0;
    qsort(samples, n, sizeof *samples, load_ascending);
    return samples[(size_t)(p * (double)(n - 1) + 0.5)];
}
