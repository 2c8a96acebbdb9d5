/* SPDX-License-Identifier: Apache-2.0 */
/* A coordinator for tests. */
#include "fake_coordinator.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void on_open(void *ud)
{
    (void)ud;
}

static void on_message(void *ud, struct str payload)
{
    struct fake_coordinator *c = ud;
    struct str kept;

    assert_true(c->n_frames < FAKE_FRAMES);
    kept = arena_dup(&c->region, payload);
    assert_non_null(kept.p);
    c->frames[c->n_frames++] = kept;
}

static void on_close(void *ud, int reason, const char *text)
{
    struct fake_coordinator *c = ud;

    (void)reason;
    c->closed = true;
    (void)snprintf(c->close_text, sizeof c->close_text, "%s", text);
    ws_conn_free(c->ws);
    c->ws = NULL;
}

static const struct ws_conn_ops ws_ops = {
    .on_open = on_open, .on_message = on_message, .on_close = on_close};

/* The key of the upgrade request, whatever else stands in it. */
static struct str upgrade_key(struct str head)
{
    static const char name[] = "\r\nsec-websocket-key:";

    for (size_t i = 0; i + sizeof name < head.n; i++) {
        struct str at = {head.p + i, sizeof name - 1};
        const char *value, *end;

        if (!str_ieq(at, STR("\r\nsec-websocket-key:")))
            continue;
        value = at.p + at.n;
        end = memchr(value, '\r', head.n - i - at.n);
        assert_non_null(end);
        return str_trim((struct str){value, (size_t)(end - value)});
    }
    fail_msg("no Sec-WebSocket-Key in the upgrade");
    return (struct str){0};
}

static void become_ws(struct fake_coordinator *c)
{
    struct ws_conn_config config = {.max_message_bytes = 16 << 20, .out_max_bytes = 32 << 20};
    struct conn *conn = c->conn;

    c->conn = NULL;
    assert_int_equal(ws_conn_accept(conn, &config, &ws_ops, c, &c->ws), 0);
    if (c->manner != FAKE_SLAMS)
        return;
    ws_conn_close(c->ws, WS_CLOSE_NORMAL, STR("go away"));
    c->ws = NULL;
    c->closed = true;
}

static void on_conn_data(void *ud)
{
    struct fake_coordinator *c = ud;
    struct buf *in = conn_in(c->conn);
    struct str head = buf_view(in);
    int n;
    char accept[29], answer[256];

    if (c->manner == FAKE_NOT_READY || !memmem(head.p, head.n, "\r\n\r\n", 4))
        return;
    ws_accept_key(upgrade_key(head), accept);
    n = snprintf(answer, sizeof answer,
                 "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                 "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
                 accept);
    buf_consume(in, head.n);
    assert_int_equal(conn_write(c->conn, &(struct str){answer, (size_t)n}, 1), 0);
    if (c->manner == FAKE_DEAF)
        conn_pause(c->conn);
    else
        become_ws(c);
}

static void on_conn_close(void *ud, int reason)
{
    struct fake_coordinator *c = ud;

    (void)reason;
    c->closed = true;
    conn_free(c->conn);
    c->conn = NULL;
}

static const struct conn_ops conn_ops = {.on_data = on_conn_data, .on_close = on_conn_close};

static void on_accept(void *ud, unsigned events)
{
    struct fake_coordinator *c = ud;
    struct conn_config config = {.in_max_bytes = 32 << 20, .out_max_bytes = 32 << 20};
    int sock;

    (void)events;
    while ((sock = loop_accept(c->loop, c->sock, NULL)) >= 0) {
        struct clock clock = loop_clock(c->loop);

        assert_true(c->connections < 64);
        c->connected_us[c->connections++] = clock_mono_us(&clock);
        conn_free(c->conn);
        ws_conn_free(c->ws);
        c->ws = NULL;
        c->closed = false;
        assert_int_equal(conn_new(c->loop, sock, &config, &conn_ops, c, &c->conn), 0);
    }
}

void fake_coordinator_start(struct fake_coordinator *c, struct loop *loop)
{
    *c = (struct fake_coordinator){.loop = loop};
    arena_init(&c->region, 256 << 20);
    buf_init(&c->plain, 16 << 20);
    assert_int_equal(proto_scratch_init(&c->scratch, 256 << 20), 0);
    assert_int_equal(box_slab_new(64, &c->slab), 0);
    assert_int_equal(loop_listen(loop, "127.0.0.1", 0, &c->sock, &c->port, NULL), 0);
    assert_int_equal(loop_watch_add(loop, c->sock, LOOP_READABLE, on_accept, c, &c->watch), 0);
}

void fake_coordinator_hang_up(struct fake_coordinator *c)
{
    conn_free(c->conn);
    ws_conn_free(c->ws);
    c->conn = NULL;
    c->ws = NULL;
    c->closed = true;
}

void fake_coordinator_stop_listening(struct fake_coordinator *c)
{
    loop_watch_remove(c->watch);
    if (c->watch)
        loop_close(c->loop, c->sock);
    c->watch = NULL;
}

void fake_coordinator_stop(struct fake_coordinator *c)
{
    fake_coordinator_hang_up(c);
    fake_coordinator_stop_listening(c);
    box_slab_free(c->slab);
    proto_scratch_free(&c->scratch);
    buf_free(&c->plain);
    arena_free(&c->region);
}

void fake_coordinator_say(struct fake_coordinator *c, struct str frame)
{
    assert_non_null(c->ws);
    assert_int_equal(ws_send(c->ws, frame), 0);
}

void fake_coordinator_send(struct fake_coordinator *c, const struct provider_msg *msg)
{
    struct buf out;

    buf_init(&out, 16 << 20);
    assert_int_equal(provider_msg_encode(msg, &out), 0);
    fake_coordinator_say(c, buf_view(&out));
    buf_free(&out);
}

struct box_session *fake_coordinator_request(struct fake_coordinator *c, const char *request_id,
                                             const char *body)
{
    const struct provider_msg *reg =
        fake_coordinator_got(c, MSG_REGISTER, fake_coordinator_count(c, MSG_REGISTER) - 1);
    uint8_t key[BOX_KEY_BYTES];
    struct box_session *session;
    struct buf sealed;
    struct provider_msg msg;

    assert_non_null(reg);
    assert_int_equal(box_public_parse(reg->reg.public_key, key), 0);
    assert_int_equal(box_session_open(c->slab, key, &session), 0);
    buf_init(&sealed, 16 << 20);
    assert_int_equal(box_seal_append(session, str_from(body), &sealed), 0);
    msg = (struct provider_msg){
        .type = MSG_INFERENCE_REQUEST,
        .request = {
            .request_id = str_from(request_id),
            .has_encrypted_body = true,
            .encrypted_body = {str_from(box_session_public_b64(session)), buf_view(&sealed)}}};
    fake_coordinator_send(c, &msg);
    buf_free(&sealed);
    return session;
}

static struct provider_msg decoded;

const struct provider_msg *fake_coordinator_got(struct fake_coordinator *c, enum msg_type type,
                                                size_t nth)
{
    for (size_t i = 0; i < c->n_frames; i++) {
        struct err err = {0};

        if (provider_msg_decode(&c->scratch, c->frames[i], &decoded, &err) < 0)
            fail_msg("frame %zu does not decode: %s", i, err.text);
        if (decoded.type == type && nth-- == 0)
            return &decoded;
    }
    return NULL;
}

size_t fake_coordinator_count(struct fake_coordinator *c, enum msg_type type)
{
    size_t n = 0;

    while (fake_coordinator_got(c, type, n))
        n++;
    return n;
}

struct str fake_coordinator_chunk(struct fake_coordinator *c, const char *request_id,
                                  struct box_session *session, size_t nth, int64_t *ret_tokens)
{
    const struct provider_msg *m;

    for (size_t i = 0; (m = fake_coordinator_got(c, MSG_INFERENCE_RESPONSE_CHUNK, i)); i++) {
        if (!str_is(m->chunk.request_id, request_id) || nth-- > 0)
            continue;
        assert_true(m->chunk.has_encrypted_data);
        assert_null(m->chunk.data.p);
        assert_int_equal(box_open(session, m->chunk.encrypted_data.ciphertext, &c->plain), 0);
        if (ret_tokens)
            *ret_tokens = m->chunk.tokens;
        return buf_view(&c->plain);
    }
    return (struct str){0};
}
