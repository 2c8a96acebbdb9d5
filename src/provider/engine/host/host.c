/* SPDX-License-Identifier: Apache-2.0 */
#include "provider/engine/host/host.h"

#include <errno.h>
#include <poll.h>
#include <sodium.h>
#include <sys/socket.h>

enum {
    READ_BYTES = 64 << 10,
    IN_MAX_BYTES = WIRE_BODY_MAX_BYTES + READ_BYTES,
    OUT_MAX_BYTES = 16 << 20,
    KEEP_BYTES = 256 << 10,
    REGION_BYTES = 1 << 20 /* stop sequences and names of one request, as in serve/ */
};

void host_init(struct host *h, int sock)
{
    *h = (struct host){.sock = sock};
    buf_init(&h->in, IN_MAX_BYTES);
    buf_init(&h->out, OUT_MAX_BYTES);
    arena_init(&h->region, REGION_BYTES);
    pthread_mutex_init(&h->lock, NULL);
}

void host_free(struct host *h)
{
    buf_free(&h->in);
    buf_free(&h->out);
    arena_free(&h->region);
    pthread_mutex_destroy(&h->lock);
}

/* --- out --- */

/* With the lock: everything in `out` leaves, however long the daemon takes. */
static int host_write(struct host *h)
{
    while (h->out.len > 0 && !h->broken) {
        struct str v = buf_view(&h->out);
        ssize_t n = send(h->sock, v.p, v.n, MSG_NOSIGNAL);

        if (n >= 0)
            buf_consume(&h->out, (size_t)n);
        else if (errno != EINTR)
            h->broken = true;
    }
    return h->broken ? ERR_CLOSED : 0;
}

/* With the lock. */
static int host_flush(struct host *h, size_t bytes)
{
    int rc = host_write(h);

    if (bytes > 0 && h->out.mem)
        sodium_memzero(h->out.mem, bytes < h->out.cap ? bytes : h->out.cap);
    buf_clear(&h->out);
    if (h->out.cap > KEEP_BYTES)
        buf_free(&h->out);
    return rc;
}

int host_say(struct host *h, const struct wire_msg *m)
{
    int rc;

    pthread_mutex_lock(&h->lock);
    rc = wire_append(&h->out, m);
    if (rc == 0)
        rc = host_flush(h, h->out.len);
    pthread_mutex_unlock(&h->lock);
    return rc;
}

static bool host_load_differs(const struct load *a, const struct load *b)
{
    return a->running != b->running || a->waiting != b->waiting ||
           a->active_tokens != b->active_tokens ||
           a->max_tokens_potential != b->max_tokens_potential ||
           a->forward_passes != b->forward_passes;
}

/* With the lock: the counters, where the daemon knows others. */
static void host_add_load(struct host *h)
{
    struct wire_msg m = {.type = WIRE_LOAD};

    h->engine.load(h->engine.ud, &m.load);
    if (host_load_differs(&m.load, &h->said) && wire_append(&h->out, &m) == 0)
        h->said = m.load;
}

/* With the lock: nothing can be said any more. The thread that listens notices, and ends. */
static void host_break(struct host *h)
{
    h->broken = true;
    (void)shutdown(h->sock, SHUT_RDWR);
}

/* The ring has one reader at a time: whoever has the lock. Without an event its request would hang
 * for ever, so where one cannot be told the engine ends instead. */
static void host_add_events(struct host *h)
{
    struct wire_msg m = {.type = WIRE_EVENT};

    while (h->engine.poll(h->engine.ud, &m.event) == 1) {
        int rc = wire_append(&h->out, &m);

        if (rc == ERR_LIMIT && host_flush(h, h->out.len) == 0)
            rc = wire_append(&h->out, &m);
        if (rc < 0)
            host_break(h);
    }
}

void host_wake(void *ud)
{
    struct host *h = ud;

    pthread_mutex_lock(&h->lock);
    if (h->engine.poll) {
        host_add_events(h);
        host_add_load(h);
        (void)host_flush(h, h->out.len);
    }
    pthread_mutex_unlock(&h->lock);
}

void host_last_words(struct host *h, struct str text)
{
    const struct wire_msg m = {.type = WIRE_LAST_WORDS, .last_words = {str_cut(text, 160)}};

    if (pthread_mutex_trylock(&h->lock) != 0)
        return;
    if (wire_append(&h->out, &m) == 0)
        (void)host_flush(h, h->out.len);
    pthread_mutex_unlock(&h->lock);
}

/* --- in --- */

static int host_read(struct host *h, int timeout_ms)
{
    struct pollfd p = {.fd = h->sock, .events = POLLIN};
    int ready = poll(&p, 1, timeout_ms);
    char *at;
    ssize_t n;

    if (ready == 0)
        return ERR_TIMEOUT;
    at = buf_reserve(&h->in, READ_BYTES);
    if (!at)
        return ERR_NOMEM;
    n = ready < 0 ? -1 : recv(h->sock, at, READ_BYTES, 0);
    if (n < 0)
        return errno == EINTR || errno == EAGAIN ? 1 : ERR_IO;
    buf_commit(&h->in, (size_t)n);
    return n > 0;
}

/* Frames are read where they lie; what was read goes, wiped, with the next call. */
static void host_let_go(struct host *h, size_t bytes)
{
    sodium_memzero((char *)buf_view(&h->in).p, bytes);
    buf_consume(&h->in, bytes);
    if (h->in.len == 0 && h->in.cap > KEEP_BYTES)
        buf_free(&h->in);
}

int host_hear(struct host *h, int timeout_ms, struct wire_msg *ret_msg)
{
    size_t bytes = 0;
    int rc;

    host_let_go(h, h->heard_bytes);
    h->heard_bytes = 0;
    while ((rc = wire_next(buf_view(&h->in), WIRE_DAEMON, ret_msg, &bytes)) == 0) {
        rc = host_read(h, timeout_ms);
        if (rc <= 0)
            return rc;
    }
    h->heard_bytes = rc == 1 ? bytes : 0;
    return rc;
}

/* --- serving --- */

static int host_on_submit(struct host *h, const struct wire_msg *m)
{
    struct wire_msg failed = {.type = WIRE_EVENT,
                              .event = {.kind = ENGINE_FAILED, .tag = m->submit.tag}};
    struct chat_request chat;
    struct api_error error;
    int rc;

    arena_reset(&h->region);
    rc = chat_request_parse(m->submit.body, &h->region, &chat, &error);
    if (rc == 0)
        rc = h->engine.submit(h->engine.ud, m->submit.tag, &chat);
    arena_reset(&h->region);
    if (rc == 0)
        return 0;
    failed.event.code = rc == ERR_DENIED ? ERR_PARSE : rc;
    return host_say(h, &failed);
}

static int host_on_cancel(struct host *h, const struct wire_msg *m)
{
    h->engine.cancel(h->engine.ud, m->cancel.tag);
    return 0;
}

static int (*const host_handlers[WIRE_TYPES])(struct host *h, const struct wire_msg *m) = {
    [WIRE_SUBMIT] = host_on_submit,
    [WIRE_CANCEL] = host_on_cancel,
};

static bool host_is_busy(const struct host *h)
{
    return h->said.running + h->said.waiting > 0;
}

int host_serve(struct host *h, const struct engine_port *engine)
{
    struct wire_msg m;
    struct load load;
    bool busy = false;
    int rc;

    pthread_mutex_lock(&h->lock);
    h->engine = *engine;
    pthread_mutex_unlock(&h->lock);
    do {
        rc = host_hear(h, busy ? HOST_LOAD_MS : -1, &m);
        if (rc == 1)
            rc = host_handlers[m.type] ? host_handlers[m.type](h, &m) : ERR_PROTOCOL;
        else if (rc == 0)
            return 0;
        host_wake(h);
        pthread_mutex_lock(&h->lock);
        busy = host_is_busy(h);
        pthread_mutex_unlock(&h->lock);
        engine->load(engine->ud, &load);
        if (load.crashed)
            return ERR_MODEL;
    } while (rc == 0 || rc == ERR_TIMEOUT);
    return rc;
}
