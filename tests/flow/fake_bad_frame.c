/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_bad_frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "coordinator/registry/registry.h"
#include "net/conn.h"
#include "net/ws_conn.h"

/* A token costs 1 micro-USD in the prompt and 2 in the answer, and a request 100 at least. */
enum {
    PROMPT = 80,
    COMPLETION = 30,
    SERVED_COST = PROMPT + 2 * COMPLETION,
    HEL_TOKENS = 15,
    LO_TOKENS = 5,
    STREAM_COST = PROMPT + 2 * (HEL_TOKENS + LO_TOKENS),
    BROKEN_COST = PROMPT + 2 * HEL_TOKENS,
    TEXT_MAX_BYTES = 16 << 20,
    LINGER_MS = 3000,
    ROWS_A_WORLD = FAKE_PROVIDERS / 2
};

/* --- what it says --- */

void bad_bytes(struct bad_link *b, const void *bytes, size_t n)
{
    struct conn *c = b->bad->ws ? b->bad->ws->conn : NULL;

    assert_non_null(c);
    assert_int_equal(buf_append(conn_out(c), bytes, n), 0);
    conn_dirty(c);
    fake_world_settle(b->w);
}

void bad_ws_frame(struct bad_link *b, uint8_t first, struct str payload)
{
    static const uint8_t mask[4] = {1, 2, 3, 4};
    uint8_t head[WS_HEAD_MAX_BYTES];
    size_t n = ws_frame_head(WS_TEXT, payload.n, mask, head);
    char *bytes = malloc(n + payload.n);

    assert_non_null(bytes);
    head[0] = first;
    memcpy(bytes, head, n);
    if (payload.n > 0)
        memcpy(bytes + n, payload.p, payload.n);
    ws_mask(bytes + n, payload.n, mask);
    bad_bytes(b, bytes, n + payload.n);
    free(bytes);
}

static void add(struct buf *out, struct str s)
{
    assert_int_equal(buf_append_str(out, s), 0);
}

static struct str sealed_line(struct bad_link *b)
{
    const struct str line =
        STR("data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"lo\"}}]}");

    if (b->bad->n_jobs == 0)
        return STR("");
    return fake_provider_chunk(b->bad, 0, line, 1).chunk.encrypted_data.ciphertext;
}

static struct str wire_id(const struct fake_provider *p)
{
    return p->n_jobs > 0 ? str_from(p->jobs[0].wire_id) : STR("none");
}

void bad_text(struct bad_link *b, struct str text)
{
    const struct {
        struct str word, value;
    } words[] = {{STR("$ID"), wire_id(b->bad)},
                 {STR("$OTHER"), wire_id(b->neighbour)},
                 {STR("$KEY"), b->bad->n_jobs > 0
                                   ? str_from(box_session_public_b64(b->bad->jobs[0].session))
                                   : STR("")},
                 {STR("$SEALED"), sealed_line(b)}};
    struct buf out;

    buf_init(&out, TEXT_MAX_BYTES);
    while (text.n > 0) {
        size_t skip = 0;

        for (size_t i = 0; i < 4 && skip == 0; i++) {
            if (str_starts(text, words[i].word)) {
                add(&out, words[i].value);
                skip = words[i].word.n;
            }
        }
        if (skip == 0) {
            add(&out, (struct str){text.p, 1});
            skip = 1;
        }
        text = (struct str){text.p + skip, text.n - skip};
    }
    fake_provider_say(b->bad, buf_view(&out));
    buf_free(&out);
    fake_world_settle(b->w);
}

/* --- before it --- */

static void begin_answer(struct fake_provider *p)
{
    fake_provider_accept(p, 0, PROMPT);
    fake_provider_text(p, 0, "Hel", HEL_TOKENS);
}

static void end_answer(struct fake_provider *p)
{
    fake_provider_text(p, 0, "lo", LO_TOKENS);
    fake_provider_finish(p, 0);
    fake_provider_usage(p, 0, PROMPT, HEL_TOKENS + LO_TOKENS);
    fake_provider_complete(p, 0, PROMPT, HEL_TOKENS + LO_TOKENS);
}

void bad_link_up(struct fake_world *w, struct bad_link *b, enum bad_when when)
{
    *b = (struct bad_link){.w = w};
    b->charged_bytes = budget_used(&w->hub->memory.process);
    b->holds = (size_t)fake_world_query(w, "SELECT count(*) FROM holds");
    fake_world_forget_log(w);
    b->neighbour = fake_provider_join(b->w, &(struct fake_provider_config){.cpu_usage = 0.5});
    b->bystander = fake_consumer_stream(b->w);
    begin_answer(b->neighbour);
    b->bad = fake_provider_join(
        b->w, &(struct fake_provider_config){.no_register = when == BAD_CONNECTED});
    if (when < BAD_ASKED)
        return;
    b->asker = fake_consumer_stream(b->w);
    assert_int_equal(b->bad->n_jobs, 1);
    if (when == BAD_ANSWERING)
        begin_answer(b->bad);
    if (when == BAD_COMPLETED)
        fake_provider_serve(b->bad, 0, PROMPT, COMPLETION);
}

/* --- behind it --- */

static void check_link(const struct bad_link *b, const struct bad_frame *row)
{
    char code[24];

    if (row->close == 0 && !b->bad->ws)
        fail_msg("%s: closed: %s", row->name, b->bad->close_text);
    if (row->close == 0)
        return;
    snprintf(code, sizeof code, "WebSocket with %d", row->close);
    if (b->bad->ws || !strstr(b->bad->close_text, code))
        fail_msg("%s: %s", row->name, b->bad->ws ? "still open" : b->bad->close_text);
}

static void check_trust(const struct bad_link *b, const struct bad_frame *row)
{
    bool trusted = row->when != BAD_CONNECTED && row->close == 0 && !row->distrust;
    size_t now = registry_counts(b->w->coord->registry).trusted;
    char reason[80];

    if (now != (trusted ? 2 : 1))
        fail_msg("%s: %zu providers are trusted", row->name, now);
    snprintf(reason, sizeof reason, "trust=untrusted reason=%s", row->distrust);
    if (row->distrust ? !fake_world_logged(b->w, reason)
                      : fake_world_logged(b->w, "trust=untrusted"))
        fail_msg("%s: distrust is not as expected", row->name);
}

/* Whatever it said, its neighbour's stream goes on. */
static void check_bystander(struct bad_link *b, const struct bad_frame *row)
{
    end_answer(b->neighbour);
    if (!fake_consumer_done(b->bystander) ||
        strcmp(fake_consumer_text(b->bystander), "Hello") != 0 ||
        fake_world_hold(b->w, b->holds).cost != STREAM_COST ||
        strcmp(fake_world_hold(b->w, b->holds).provider_account,
               fake_provider_account(b->neighbour)) != 0)
        fail_msg("%s: the neighbour's stream: \"%s\", it cost %lld, paid to %s", row->name,
                 fake_consumer_text(b->bystander), (long long)fake_world_hold(b->w, b->holds).cost,
                 fake_world_hold(b->w, b->holds).provider_account);
}

static void finish_asker(struct bad_link *b, const struct bad_frame *row)
{
    if (row->fate == BAD_RETRIED) {
        if (b->neighbour->n_jobs != 2)
            fail_msg("%s: it was not tried elsewhere", row->name);
        fake_provider_serve(b->neighbour, 1, PROMPT, COMPLETION);
    } else if (row->fate == BAD_GOES_ON && row->when == BAD_ASKED) {
        fake_provider_serve(b->bad, 0, PROMPT, COMPLETION);
    } else if (row->fate == BAD_GOES_ON && row->when == BAD_ANSWERING) {
        end_answer(b->bad);
    }
}

static int64_t expected_cost(const struct bad_frame *row)
{
    return row->fate == BAD_SERVED                                  ? row->cost_micro_usd
           : row->fate == BAD_BROKEN                                ? BROKEN_COST
           : row->fate == BAD_GOES_ON && row->when == BAD_ANSWERING ? STREAM_COST
                                                                    : SERVED_COST;
}

static void check_asker(struct bad_link *b, const struct bad_frame *row)
{
    const struct fake_provider *by = row->fate == BAD_RETRIED ? b->neighbour : b->bad;
    struct str body = fake_consumer_body(b->asker);
    struct fake_hold h;

    if (!fake_consumer_done(b->asker) || fake_consumer_status(b->asker) != 200)
        fail_msg("%s: its request: %d %.*s", row->name, fake_consumer_status(b->asker),
                 STR_ARG(body));
    if (fake_says(body, "\"error\"") != (row->fate == BAD_BROKEN) ||
        fake_says(body, "[DONE]") == (row->fate == BAD_BROKEN))
        fail_msg("%s: its request ended otherwise: %.*s", row->name, STR_ARG(body));
    h = fake_world_hold(b->w, b->holds + 1);
    if (h.open || h.cost != expected_cost(row))
        fail_msg("%s: it cost %lld", row->name, (long long)h.cost);
    if (strcmp(h.provider_account, fake_provider_account(by)) != 0)
        fail_msg("%s: paid to %s", row->name, h.provider_account);
}

/* The first to disconnect is the bad one. */
static void check_ignored(const struct bad_link *b, const struct bad_frame *row)
{
    char *log = fake_world_log(b->w);
    const char *line = strstr(log, "event=provider_disconnected");
    const char *count = line ? strstr(line, "ignored_messages=") : NULL;

    if (!count || strtoul(count + 17, NULL, 10) != row->ignored)
        fail_msg("%s: %.20s", row->name, count ? count : "not disconnected");
    free(log);
}

void bad_link_down(struct bad_link *b, const struct bad_frame *row)
{
    check_link(b, row);
    check_trust(b, row);
    finish_asker(b, row);
    check_bystander(b, row);
    if (b->asker)
        check_asker(b, row);
    fake_provider_die(b->bad);
    fake_world_settle(b->w);
    check_ignored(b, row);
    fake_provider_die(b->neighbour);
    fake_consumer_leave(b->bystander);
    if (b->asker)
        fake_consumer_leave(b->asker);
    fake_world_advance_ms(b->w, LINGER_MS);
    if (budget_used(&b->w->hub->memory.process) != b->charged_bytes)
        fail_msg("%s: %zu bytes are charged still", row->name,
                 budget_used(&b->w->hub->memory.process));
    fake_world_assert_at_rest(b->w);
}

void bad_frames_send(const struct bad_frame *rows, size_t n)
{
    void *world = NULL;

    for (size_t i = 0; i < n; i++) {
        struct bad_link b;

        if (i % ROWS_A_WORLD == 0 && world)
            fake_world_down(&world);
        if (i % ROWS_A_WORLD == 0)
            assert_int_equal(fake_world_up(&world), 0);
        bad_link_up(world, &b, rows[i].when);
        if (rows[i].text.p)
            bad_text(&b, rows[i].text);
        else
            rows[i].say(&b);
        fake_world_settle(world);
        bad_link_down(&b, &rows[i]);
    }
    fake_world_down(&world);
}
