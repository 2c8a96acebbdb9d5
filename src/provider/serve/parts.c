/* SPDX-License-Identifier: Apache-2.0 */
#include "provider/serve/parts.h"

#include <stdlib.h>

void parts_init(struct parts *p)
{
    *p = (struct parts){0};
    buf_init(&p->text, PARTS_TEXT_MAX_BYTES);
    buf_init(&p->logprobs, PARTS_LOGPROBS_MAX_BYTES);
}

void parts_free(struct parts *p)
{
    buf_wipe(&p->text);
    buf_free(&p->text);
    buf_wipe(&p->logprobs);
    buf_free(&p->logprobs);
    free(p->items);
    parts_init(p);
}

/* --- adding --- */

static int parts_begin(struct parts *p, const struct engine_event *e)
{
    struct part *grown;
    size_t cap = p->cap > 0 ? 2 * p->cap : 4;

    if (p->n == PARTS_MAX || e->call < 0 || e->call >= PARTS_MAX_CALLS)
        return ERR_LIMIT;
    if (p->n == p->cap) {
        grown = realloc(p->items, cap * sizeof *grown);
        if (!grown)
            return ERR_NOMEM;
        p->items = grown;
        p->cap = cap;
    }
    p->items[p->n++] = (struct part){e->channel, e->call, p->text.len, p->text.len};
    return 0;
}

static bool parts_continues(const struct parts *p, const struct engine_event *e)
{
    const struct part *last = p->n > 0 ? &p->items[p->n - 1] : NULL;

    return last && last->channel == e->channel && last->call == e->call;
}

int parts_add(struct parts *p, const struct engine_event *e)
{
    int rc;

    if (e->channel == ENGINE_LOGPROBS)
        return buf_append_str(&p->logprobs, e->text);
    p->logprobs_whole = p->logprobs.len;
    rc = parts_continues(p, e) ? 0 : parts_begin(p, e);
    if (rc == 0)
        rc = buf_append_str(&p->text, e->text);
    if (rc == 0)
        p->items[p->n - 1].end = p->text.len;
    return rc;
}

/* --- sending --- */

static struct str parts_text(const struct parts *p, size_t begin, size_t end)
{
    return (struct str){buf_view(&p->text).p + begin, end - begin};
}

static struct str parts_take_whole_logprobs(struct parts *p)
{
    struct str all = buf_view(&p->logprobs);
    struct str news = {all.p + p->logprobs_sent, p->logprobs_whole - p->logprobs_sent};

    p->logprobs_sent = p->logprobs_whole;
    if (news.n > 0 && news.p[0] == ',')
        news = (struct str){news.p + 1, news.n - 1};
    return news;
}

/* An id leaves with the name behind it. */
static struct chunk_delta parts_delta(const struct parts *p, size_t i, struct str text)
{
    static const enum chunk_part parts[] = {[ENGINE_CONTENT] = CHUNK_PART_CONTENT,
                                            [ENGINE_REASONING] = CHUNK_PART_REASONING,
                                            [ENGINE_CALL_NAME] = CHUNK_PART_CALL,
                                            [ENGINE_CALL_ARGUMENTS] = CHUNK_PART_ARGUMENTS};
    const struct part *at = &p->items[i];
    struct chunk_delta d = {.part = parts[at->channel], .text = text, .call = at->call};

    if (at->channel == ENGINE_CALL_NAME && i > 0 && at[-1].channel == ENGINE_CALL_ID)
        d.id = parts_text(p, at[-1].begin, at[-1].end);
    return d;
}

bool parts_take(struct parts *p, struct chunk_delta *ret_delta)
{
    for (; p->next < p->n; p->next++, p->sent_bytes = 0) {
        const struct part *at = &p->items[p->next];
        struct str text = parts_text(p, at->begin + p->sent_bytes, at->end);

        if (at->channel != ENGINE_CALL_ID && text.n > 0) {
            *ret_delta = parts_delta(p, p->next, text);
            ret_delta->logprobs = parts_take_whole_logprobs(p);
            p->sent_bytes = at->end - at->begin;
            return true;
        }
        if (p->next == p->n - 1)
            return false; /* the last one may grow */
    }
    return false;
}

struct str parts_take_logprobs(struct parts *p)
{
    p->logprobs_whole = p->logprobs.len;
    return parts_take_whole_logprobs(p);
}

/* --- the whole --- */

static int parts_gather(const struct parts *p, enum engine_channel channel, int32_t call,
                        struct buf *work)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < p->n; i++) {
        const struct part *at = &p->items[i];

        if (at->channel == channel && at->call == call)
            rc = buf_append_str(work, parts_text(p, at->begin, at->end));
    }
    return rc;
}

static size_t parts_count_calls(const struct parts *p)
{
    size_t n = 0;

    for (size_t i = 0; i < p->n; i++) {
        if (p->items[i].channel == ENGINE_CALL_ID && (size_t)p->items[i].call >= n)
            n = (size_t)p->items[i].call + 1;
    }
    return n;
}

/* The texts stand in `work` in this order; pointers are made when it no longer moves. */
int parts_join(const struct parts *p, struct buf *work, struct chunk_call calls[PARTS_MAX_CALLS],
               struct chunk_message *ret_message)
{
    static const enum engine_channel of_call[] = {ENGINE_CALL_ID, ENGINE_CALL_NAME,
                                                  ENGINE_CALL_ARGUMENTS};
    size_t ends[2 + 3 * PARTS_MAX_CALLS], n = parts_count_calls(p), k = 0;
    struct str *const places[] = {&ret_message->content, &ret_message->reasoning};
    int rc = parts_gather(p, ENGINE_CONTENT, 0, work);
    size_t from = 0;

    ends[k++] = work->len;
    if (rc == 0)
        rc = parts_gather(p, ENGINE_REASONING, 0, work);
    ends[k++] = work->len;
    for (size_t i = 0; rc == 0 && i < 3 * n; i++) {
        rc = parts_gather(p, of_call[i % 3], (int32_t)(i / 3), work);
        ends[k++] = work->len;
    }
    if (rc < 0)
        return rc;
    *ret_message =
        (struct chunk_message){.calls = calls, .n_calls = n, .logprobs = buf_view(&p->logprobs)};
    for (size_t i = 0; i < k; from = ends[i++]) {
        struct str *const of[] = {i < 2 ? NULL : &calls[(i - 2) / 3].id,
                                  i < 2 ? NULL : &calls[(i - 2) / 3].name,
                                  i < 2 ? NULL : &calls[(i - 2) / 3].arguments};

        *(i < 2 ? places[i] : of[(i - 2) % 3]) =
            (struct str){buf_view(work).p + from, ends[i] - from};
    }
    return 0;
}
