/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_bad_request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "coordinator/registry/registry.h"
#include "proto/json_check.h"
#include "shared/heap.h"

enum { REQUEST_MAX_BYTES = 16 << 20, PROMPT = 80, COMPLETION = 20, LINGER_MS = 2000 };

/* --- the request --- */

static void add(struct buf *out, struct str s)
{
    assert_int_equal(buf_append_str(out, s), 0);
}

/* The text with its $WORDS replaced. */
static void add_filled(const struct bad_world *b, struct str text, struct buf *out)
{
    char length[16];
    const int n = snprintf(length, sizeof length, "%zu", sizeof BAD_GOOD_BODY - 1);
    const struct {
        struct str word, value;
    } words[] = {{STR("$KEY"), str_from(b->w->key)},
                 {STR("$REVOKED"), str_from(b->revoked)},
                 {STR("$LENGTH"), {length, (size_t)n}}};

    while (text.n > 0) {
        size_t skip = 0;

        for (size_t i = 0; i < 3 && skip == 0; i++) {
            if (str_starts(text, words[i].word)) {
                add(out, words[i].value);
                skip = words[i].word.n;
            }
        }
        if (skip == 0) {
            add(out, (struct str){text.p, 1});
            skip = 1;
        }
        text = (struct str){text.p + skip, text.n - skip};
    }
}

static void add_head(const struct bad_world *b, size_t body_bytes, struct buf *out)
{
    assert_int_equal(buf_printf(out,
                                "POST /v1/chat/completions HTTP/1.1\r\nHost: test\r\n"
                                "Authorization: Bearer %s\r\nContent-Length: %zu\r\n",
                                b->w->key, body_bytes),
                     0);
}

static void write_request(const struct bad_world *b, const struct bad_request *row, struct buf *out)
{
    const struct str good = STR(BAD_GOOD_BODY);

    if (row->kind == BAD_BODY) {
        add_head(b, row->text.n, out);
        add(out, STR("\r\n"));
        add(out, row->text);
    } else if (row->kind == BAD_MEMBER) {
        add_head(b, row->text.n + 1 + good.n, out);
        add(out, STR("\r\n{"));
        add(out, row->text);
        add(out, STR(","));
        add(out, (struct str){good.p + 1, good.n - 1});
    } else if (row->kind == BAD_LINES) {
        add_head(b, good.n, out);
        add_filled(b, row->text, out);
        add(out, STR("\r\n"));
        add(out, good);
    } else {
        add_filled(b, row->text, out);
        if (row->kind == BAD_HEAD) {
            add(out, STR("\r\n"));
            add(out, good);
        }
    }
}

/* --- the answer --- */

static struct str header_of(struct str head, const char *name)
{
    size_t n = strlen(name);

    for (size_t i = 0; i + n + 2 < head.n; i++) {
        struct str at = {head.p + i + 1, head.n - i - 1};
        const char *end = memchr(at.p, '\r', at.n);

        if (head.p[i] == '\n' && end && at.p[n] == ':' &&
            str_ieq((struct str){at.p, n}, str_from(name)))
            return str_trim((struct str){at.p + n + 1, (size_t)(end - at.p) - n - 1});
    }
    return (struct str){0};
}

struct str bad_last_answer(struct str bytes, size_t *ret_n)
{
    struct str last = {0};

    *ret_n = 0;
    while (bytes.n > 0) {
        const char *end = memmem(bytes.p, bytes.n, "\r\n\r\n", 4);
        size_t n = end ? (size_t)(end - bytes.p) + 4 : 0;
        int64_t length = 0;

        if (!end || !str_starts(bytes, STR("HTTP/1.1 ")))
            fail_msg("no answer: %.*s", STR_ARG(bytes));
        if (bytes.p[9] != '1') {
            struct str given = header_of((struct str){bytes.p, n}, "Content-Length");

            if (given.p)
                assert_int_equal(str_to_i64(given, &length), 0);
            last = (struct str){bytes.p, n + (size_t)length};
            ++*ret_n;
        }
        assert_true(bytes.n >= n + (size_t)length);
        bytes = (struct str){bytes.p + n + (size_t)length, bytes.n - n - (size_t)length};
    }
    return last;
}

static void check_member(const char *name, struct str body, const char *member, const char *value)
{
    char want[160];

    snprintf(want, sizeof want, value ? "\"%s\":\"%s\"" : "\"%s\":null", member, value);
    if (!fake_says(body, want))
        fail_msg("%s: no %s in %.*s", name, want, STR_ARG(body));
}

/* An error as every OpenAI client reads it, with the headers that every answer has. */
static void check_answer(const struct bad_request *row, struct str answer)
{
    const char *end = memmem(answer.p, answer.n, "\r\n\r\n", 4);
    struct str head = {answer.p, (size_t)(end - answer.p) + 4};
    struct str body = {end + 4, answer.n - head.n};
    int64_t status;

    assert_int_equal(str_to_i64((struct str){answer.p + 9, 3}, &status), 0);
    if (status != row->status)
        fail_msg("%s: %.*s", row->name, STR_ARG(answer));
    if (!str_is(header_of(head, "Content-Type"), "application/json") ||
        header_of(head, "X-Request-Id").n == 0 ||
        header_of(head, "Access-Control-Allow-Origin").n == 0)
        fail_msg("%s: headers are missing: %.*s", row->name, STR_ARG(head));
    if (json_check(body, 4, NULL) < 0)
        fail_msg("%s: the answer is no JSON: %.*s", row->name, STR_ARG(body));
    check_member(row->name, body, "code", row->code);
    check_member(row->name, body, "param", row->param);
    if (!str_starts(body, STR("{\"error\":{\"message\":\"")) ||
        fake_says(body, "\"message\":\"\"") || !fake_says(body, "\"type\":\""))
        fail_msg("%s: %.*s", row->name, STR_ARG(body));
}

/* The connection goes on, or it was closed. */
static void check_connection(struct fake_consumer *c, const char *name)
{
    if (c->ended)
        return;
    fake_consumer_ask_again(c, &(struct fake_ask){.target = "GET /health", .body = ""});
    if (fake_consumer_status(c) != 200)
        fail_msg("%s: the connection is open, but says nothing more", name);
}

/* --- what it leaves behind --- */

struct bad_state bad_state_of(struct bad_world *b)
{
    return (struct bad_state){.balance = fake_world_balance(b->w, FAKE_ACCOUNT),
                              .holds = fake_world_query(b->w, "SELECT count(*) FROM holds"),
                              .live_bytes = heap_live_bytes(),
                              .charged_bytes = budget_used(&b->w->hub->memory.process)};
}

void bad_state_check(struct bad_world *b, const struct bad_state *before, const char *name,
                     bool compare_memory)
{
    const struct registry_counts counts = registry_counts(b->w->coord->registry);
    const struct bad_state now = bad_state_of(b);

    if (now.balance != before->balance || now.holds != before->holds)
        fail_msg("%s: balance %lld, %lld holds", name, (long long)now.balance,
                 (long long)now.holds);
    if (b->w->coord->n_requests > 0)
        fail_msg("%s: %zu requests live", name, b->w->coord->n_requests);
    if (b->idle->n_jobs > 0 || counts.trusted != 1 || counts.routable != 1)
        fail_msg("%s: the provider got %zu jobs; %zu trusted, %zu routable", name, b->idle->n_jobs,
                 counts.trusted, counts.routable);
    if (compare_memory &&
        (now.live_bytes != before->live_bytes || now.charged_bytes != before->charged_bytes))
        fail_msg("%s: leaves %zd bytes, %zd of them charged", name,
                 now.live_bytes - before->live_bytes, now.charged_bytes - before->charged_bytes);
}

void bad_request_send(struct bad_world *b, const struct bad_request *row, bool compare_memory)
{
    const struct bad_state before = bad_state_of(b);
    struct fake_consumer *c;
    struct buf request;
    struct str answer;
    size_t n;

    buf_init(&request, REQUEST_MAX_BYTES);
    write_request(b, row, &request);
    c = fake_consumer_ask(b->w, &(struct fake_ask){.raw = buf_view(&request)});
    buf_free(&request);
    answer = bad_last_answer(buf_view(&c->in), &n);
    if (row->status == 0 && (n > 0 || !c->ended))
        fail_msg("%s: %.*s", row->name, STR_ARG(answer));
    if (row->status > 0 && n == 0)
        fail_msg("%s: no answer, %s", row->name, c->ended ? "closed" : "open");
    if (row->status > 0)
        check_answer(row, answer);
    check_connection(c, row->name);
    fake_consumer_forget(c);
    fake_world_settle(b->w);
    /* Who sends more than is read past is not heard any more: that it left shows in the end. */
    if (budget_used(&b->w->hub->memory.process) != before.charged_bytes)
        fake_world_advance_ms(b->w, LINGER_MS);
    bad_state_check(b, &before, row->name, compare_memory);
}

void bad_requests_send(const struct bad_request *rows, size_t n)
{
    struct bad_world b;

    bad_world_up(&b);
    for (size_t i = 0; i < n; i++) {
        bad_request_send(&b, &rows[i], false);
        bad_request_send(&b, &rows[i], true);
    }
    bad_world_down(&b);
}

/* --- the world --- */

/* What is allocated is seen. */
static void check_heap(void)
{
    size_t before = heap_live_bytes();
    char *piece = malloc(1000);

    assert_non_null(piece);
    assert_true(heap_live_bytes() >= before + 1000);
    free(piece);
}

void bad_world_up(struct bad_world *b)
{
    void *world;

    check_heap();
    assert_int_equal(fake_world_up(&world), 0);
    *b = (struct bad_world){.w = world};
    fake_world_make_key(b->w, "bob", FAKE_CREDIT, b->revoked);
    fake_world_revoke_key(b->w, b->revoked);
    b->idle = fake_provider_join(b->w, &(struct fake_provider_config){0});
}

void bad_world_down(struct bad_world *b)
{
    void *world = b->w;
    struct fake_consumer *c = fake_consumer_ask(b->w, &(struct fake_ask){.body = BAD_GOOD_BODY});

    assert_int_equal(b->idle->n_jobs, 1);
    fake_provider_serve(b->idle, 0, PROMPT, COMPLETION);
    assert_int_equal(fake_consumer_status(c), 200);
    assert_false(fake_world_logged(b->w, BAD_SECRET));
    assert_false(fake_world_logged(b->w, b->w->key));
    assert_false(fake_world_logged(b->w, b->revoked));
    fake_world_down(&world);
}
