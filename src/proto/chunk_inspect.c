/* SPDX-License-Identifier: Apache-2.0 */
/* What the relay must know of a chunk. Text counts only where an SDK shows it: in the delta of the
 * first choice, or in its message when the chunk is a whole answer; what stands anywhere else is
 * relayed and not paid for. Names are compared by what they mean; one that stands twice makes the
 * chunk unusable, since parsers differ in which of the two they take. */
#include "proto/chunk.h"
#include "proto/json_check.h"
#include "proto/span.h"

enum { CHUNK_ROOT_MEMBERS_MAX = 64, CHUNK_MAX_DEPTH = 1 + SPAN_MAX_DEPTH };

/* The text of a delta or a message. */
struct chunk_texts {
    size_t content, reasoning, reasoning_content, refusal, calls; /* bytes of UTF-8 */
    bool has_role, has_calls, needs_rewrite;
    struct str inside; /* the content between its quotes */
};

struct chunk_look {
    struct chunk_info *info;
    bool twice; /* a name that matters stands twice in one object */
    bool whole, error, has_choice;
    struct chunk_texts delta, message; /* of the first choice */
};

static bool chunk_is_null(struct str v)
{
    return str_eq(v, STR("null"));
}

/* Which of the names a member's key is, however it is escaped; `n`: none of them. Noted in *seen.
 */
static size_t chunk_which(struct chunk_look *l, struct str key, const struct str *names, size_t n,
                          unsigned *seen)
{
    bool escaped = key.n > 0 && memchr(key.p, '\\', key.n);
    size_t i = 0;

    while (i < n && !str_eq(key, names[i]) && !(escaped && span_same_text(key, names[i])))
        i++;
    if (i < n) {
        l->twice |= *seen >> i & 1;
        *seen |= 1U << i;
    }
    return i;
}

#define CHUNK_WHICH(l, key, names, seen) \
    chunk_which(l, key, names, sizeof(names) / sizeof(names)[0], seen)

/* --- text --- */

/* What a tool call says: the name of its function and what it is given. */
static size_t chunk_function_bytes(struct chunk_look *l, struct str function)
{
    static const struct str names[] = {STR("name"), STR("arguments")};
    struct span_member m;
    size_t cursor = 0, bytes = 0;
    unsigned seen = 0;

    while (span_next(function, &cursor, &m) > 0) {
        if (CHUNK_WHICH(l, m.key, names, &seen) < 2)
            bytes += span_text_bytes(m.value);
    }
    return bytes;
}

static void chunk_look_at_calls(struct chunk_look *l, struct str calls, struct chunk_texts *t)
{
    static const struct str names[] = {STR("function")};
    size_t at = 0, cursor;
    struct span_member m;
    struct str call;

    while (span_next_element(calls, &at, &call) > 0) {
        unsigned seen = 0;

        t->has_calls |= call.p[0] == '{';
        for (cursor = 0; span_next(call, &cursor, &m) > 0;) {
            if (CHUNK_WHICH(l, m.key, names, &seen) == 0)
                t->calls += chunk_function_bytes(l, m.value);
        }
    }
}

static void chunk_look_at_texts(struct chunk_look *l, struct str object, struct chunk_texts *t)
{
    enum { CONTENT, REASONING, REASONING_CONTENT, REFUSAL, TOOL_CALLS, ROLE };
    static const struct str names[] = {STR("content"), STR("reasoning"),  STR("reasoning_content"),
                                       STR("refusal"), STR("tool_calls"), STR("role")};
    size_t *const bytes[] = {&t->content, &t->reasoning, &t->reasoning_content, &t->refusal};
    struct span_member m;
    size_t cursor = 0;
    unsigned seen = 0;

    while (span_next(object, &cursor, &m) > 0) {
        size_t which = CHUNK_WHICH(l, m.key, names, &seen);

        if (which <= REFUSAL)
            *bytes[which] = span_text_bytes(m.value);
        if (which == CONTENT && t->content > 0)
            t->inside = (struct str){m.value.p + 1, m.value.n - 2};
        if (which == TOOL_CALLS)
            chunk_look_at_calls(l, m.value, t);
        if (which == ROLE)
            t->has_role = !chunk_is_null(m.value);
        t->needs_rewrite |=
            which == REASONING_CONTENT || (which <= TOOL_CALLS && chunk_is_null(m.value));
    }
}

/* Consumers see one reasoning (chunk_normalise). */
static size_t chunk_shown_bytes(const struct chunk_texts *t)
{
    return t->content + t->refusal + t->calls +
           (t->reasoning > 0 ? t->reasoning : t->reasoning_content);
}

/* --- the object --- */

static void chunk_look_at_choice(struct chunk_look *l, struct str choice)
{
    enum { DELTA, MESSAGE, FINISH };
    static const struct str names[] = {STR("delta"), STR("message"), STR("finish_reason")};
    struct span_member m;
    size_t cursor = 0;
    unsigned seen = 0;

    while (span_next(choice, &cursor, &m) > 0) {
        size_t which = CHUNK_WHICH(l, m.key, names, &seen);

        if (which == DELTA)
            chunk_look_at_texts(l, m.value, &l->delta);
        else if (which == MESSAGE)
            chunk_look_at_texts(l, m.value, &l->message);
        else if (which == FINISH && !chunk_is_null(m.value))
            l->info->finish = m.value;
    }
    l->info->has_finish = l->info->finish.p != NULL;
}

static void chunk_look_at_usage(struct chunk_look *l, struct str usage)
{
    static const struct str names[] = {STR("prompt_tokens"), STR("completion_tokens")};
    int64_t *const counts[] = {&l->info->prompt_tokens, &l->info->completion_tokens};
    struct span_member m;
    size_t cursor = 0;
    unsigned seen = 0;
    int64_t n;

    if (chunk_is_null(usage)) {
        l->info->needs_rewrite = true;
        return;
    }
    l->info->has_usage = true;
    while (span_next(usage, &cursor, &m) > 0) {
        size_t which = CHUNK_WHICH(l, m.key, names, &seen);

        if (which < 2 && str_to_i64(m.value, &n) == 0 && n >= 0)
            *counts[which] = n;
    }
}

/* Only the first choice is asked for, so it is the one that is looked at. */
static void chunk_look_at_choices(struct chunk_look *l, struct str choices)
{
    struct str choice;
    size_t cursor = 0;

    l->has_choice = span_next_element(choices, &cursor, &choice) > 0 && choice.p[0] == '{';
    if (l->has_choice)
        chunk_look_at_choice(l, choice);
}

static struct str chunk_unquote(struct str v)
{
    return v.n >= 2 && v.p[0] == '"' ? (struct str){v.p + 1, v.n - 2} : (struct str){0};
}

/* Members that the coordinator alone may write; and any other in escapes, which a rewrite takes
 * away. */
static bool chunk_is_ours(struct str key)
{
    static const struct str ours[] = {CHUNK_RECEIPT_MEMBERS};
    bool found = key.n > 0 && memchr(key.p, '\\', key.n);

    for (size_t i = 0; !found && i < sizeof ours / sizeof ours[0]; i++)
        found = str_eq(key, ours[i]);
    return found;
}

static void chunk_look_at_member(struct chunk_look *l, const struct span_member *m, unsigned *seen)
{
    enum { CHOICES, USAGE, OBJECT, ERROR, FINGERPRINT, ID, MODEL, CREATED };
    static const struct str names[] = {
        STR("choices"), STR("usage"), STR("object"), STR("error"), STR("system_fingerprint"),
        STR("id"),      STR("model"), STR("created")};
    struct chunk_info *info = l->info;

    switch (CHUNK_WHICH(l, m->key, names, seen)) {
    case CHOICES:
        chunk_look_at_choices(l, m->value);
        break;
    case USAGE:
        chunk_look_at_usage(l, m->value);
        break;
    case OBJECT:
        l->whole = span_text_is(m->value, "chat.completion");
        break;
    case ERROR:
        l->error = !chunk_is_null(m->value);
        break;
    case FINGERPRINT:
        info->needs_rewrite |= chunk_is_null(m->value);
        break;
    case ID:
        info->head.id = chunk_unquote(m->value);
        break;
    case MODEL:
        info->head.model = chunk_unquote(m->value);
        break;
    case CREATED:
        (void)str_to_i64(m->value, &info->head.created_s);
        break;
    }
    info->needs_rewrite |= chunk_is_ours(m->key);
}

/* A line break is a space in JSON, but ends the line of an event stream. */
static bool chunk_has_line_break(struct str json)
{
    return json.n > 0 && (memchr(json.p, '\n', json.n) || memchr(json.p, '\r', json.n));
}

/* What was seen, once it is known whether the chunk is a whole answer. */
static enum chunk_kind chunk_sum_up(struct chunk_look *l)
{
    const struct chunk_texts *t = l->whole ? &l->message : &l->delta;
    struct chunk_info *info = l->info;

    if (l->twice)
        return CHUNK_BAD;
    info->text_bytes = chunk_shown_bytes(t);
    info->has_text = info->text_bytes > 0 || t->has_calls;
    info->has_role = t->has_role;
    info->has_finish |= l->whole;
    info->needs_rewrite |= l->whole || t->needs_rewrite;
    if (t->inside.p && info->text_bytes == t->content && !t->has_calls)
        info->content = t->inside;
    return l->error          ? CHUNK_ERROR
           : l->whole        ? CHUNK_WHOLE
           : l->has_choice   ? CHUNK_CONTENT
           : info->has_usage ? CHUNK_USAGE
                             : CHUNK_EMPTY;
}

static enum chunk_kind chunk_look_at_object(struct chunk_info *info)
{
    struct span_member members[CHUNK_ROOT_MEMBERS_MAX];
    struct chunk_look l = {.info = info};
    unsigned seen = 0;
    size_t n = 0;

    if (json_check_members(info->json, CHUNK_MAX_DEPTH, members, CHUNK_ROOT_MEMBERS_MAX, &n, NULL) <
        0)
        return CHUNK_BAD;
    info->needs_rewrite = chunk_has_line_break(info->json);
    for (size_t i = 0; i < n; i++)
        chunk_look_at_member(&l, &members[i], &seen);
    return chunk_sum_up(&l);
}

/* --- the line --- */

static struct str chunk_data_of(struct str line)
{
    while (line.n > 0 && (line.p[line.n - 1] == '\n' || line.p[line.n - 1] == '\r'))
        line.n--;
    if (str_starts(line, STR("data:")))
        return str_trim((struct str){line.p + 5, line.n - 5});
    return (struct str){0};
}

/* Whether a line is no event: blank, a comment, a field without data (the HTML standard, §9.2.6).
 */
static bool chunk_is_passed_over(struct str line)
{
    static const struct str silent[] = {STR("\n"),     STR("\r"),  STR(":"),
                                        STR("event:"), STR("id:"), STR("retry:")};

    for (size_t i = 0; i < sizeof silent / sizeof silent[0]; i++) {
        if (str_starts(line, silent[i]))
            return true;
    }
    return false;
}

static bool chunk_is_silent(struct str text)
{
    while (text.n > 0) {
        size_t n = 0;

        if (!chunk_is_passed_over(text))
            return false;
        while (n < text.n && text.p[n] != '\n' && text.p[n] != '\r')
            n++;
        n += n < text.n;
        text = (struct str){text.p + n, text.n - n};
    }
    return true;
}

void chunk_inspect(struct str line, struct chunk_info *ret_info)
{
    struct chunk_info info = {.kind = CHUNK_BAD, .json = chunk_data_of(line)};

    if (str_eq(info.json, STR("[DONE]")))
        info = (struct chunk_info){.kind = CHUNK_DONE};
    else if (chunk_is_silent(line))
        info = (struct chunk_info){.kind = CHUNK_EMPTY};
    else if (info.json.n > 0)
        info.kind = chunk_look_at_object(&info);
    *ret_info = info;
}
