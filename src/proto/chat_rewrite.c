/* SPDX-License-Identifier: Apache-2.0 */
/* A chat request's body as its provider gets it. */
#include "proto/chat.h"
#include "proto/chat_impl.h"

const char *const chat_limit_fields[CHAT_LIMIT_FIELDS] = {"max_tokens", "max_completion_tokens",
                                                          "max_output_tokens"};

static bool chat_is_limit_field(struct str key)
{
    for (size_t i = 0; i < CHAT_LIMIT_FIELDS; i++) {
        if (str_is(key, chat_limit_fields[i]))
            return true;
    }
    return false;
}

/* Append what stands between *from and `span`, then `instead`; *from moves behind the span. */
static int chat_splice(struct buf *out, const char **from, struct str span, struct str instead)
{
    int rc = buf_append(out, *from, (size_t)(span.p - *from));

    *from = span.p + span.n;
    return rc == 0 ? buf_append_str(out, instead) : rc;
}

/* The member with its messages, each null content as "": templates and older engines take no null.
 */
static int chat_append_messages(const struct span_member *m, struct buf *out)
{
    struct api_error e;
    struct chat_checked c = {.e = &e};
    struct chat_members message;
    const char *from = m->whole.p;
    size_t cursor = 0, end;
    int rc = 0;

    while (rc == 0 && span_next_start(m->value, &cursor) > 0) {
        struct str rest = {m->value.p + cursor, m->value.n - cursor}, null;

        if (chat_take_members(&c, rest, &message, &end) < 0)
            return ERR_PARSE;
        null = chat_null_content(&message);
        if (null.p)
            rc = chat_splice(out, &from, null, STR("\"\""));
        cursor += end;
    }
    return rc == 0 ? buf_append(out, from, (size_t)(m->whole.p + m->whole.n - from)) : rc;
}

int chat_request_rewrite(const struct chat_request *r, struct str body, int64_t max_tokens,
                         struct buf *out)
{
    struct span_member m;
    size_t cursor = 0;
    int rc = buf_printf(out, "{\"max_tokens\":%lld", (long long)max_tokens);
    int more;

    while (rc == 0 && (more = span_next(body, &cursor, &m)) != 0) {
        if (more < 0)
            return ERR_PARSE;
        if (chat_is_limit_field(m.key))
            continue;
        rc = buf_append_str(out, STR(","));
        if (rc == 0)
            rc = r->null_contents > 0 && str_eq(m.key, STR("messages"))
                     ? chat_append_messages(&m, out)
                     : buf_append_str(out, m.whole);
    }
    return rc == 0 ? buf_append_str(out, STR("}")) : rc;
}
