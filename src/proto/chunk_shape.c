/* SPDX-License-Identifier: Apache-2.0 */
/* Chunks of one stream differ in the text of delta.content and in little else. Comparing the bytes
 * around it costs a tenth of walking through them. */
#include "proto/chunk.h"

static const struct str opening = STR("\"delta\":{\"content\":\"");

/* Where the text begins; 0 when that is not the only place. In JSON these bytes can stand nowhere
 * but at a member: inside a string their quotes would be escaped. */
static size_t text_at(struct str line)
{
    const char *at = memmem(line.p, line.n, opening.p, opening.n);
    size_t begin = at ? (size_t)(at - line.p) + opening.n : 0;

    if (!at || memmem(line.p + begin, line.n - begin, opening.p, opening.n))
        return 0;
    return begin;
}

/* Whether it is the inside of a JSON string, with no escape but the short ones, and *ret_bytes that
 * it stands for. A \u escape may be half a pair: that is for the full look. */
static bool is_plain_text(const char *p, size_t n, size_t *ret_bytes)
{
    size_t escapes = 0;
    bool ascii = true;

    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)p[i];

        if (c == '\\') {
            if (++i == n || !strchr("\"\\/bfnrt", p[i]) || !p[i])
                return false;
            escapes++;
        } else if (c == '"' || c < 0x20) {
            return false;
        }
        ascii &= c < 0x80;
    }
    *ret_bytes = n - escapes;
    return ascii || str_is_utf8((struct str){p, n});
}

static bool lies_in(struct str part, struct str line, size_t n)
{
    return part.p && part.p >= line.p && part.p + part.n <= line.p + n;
}

/* Only chunks of text and nothing else: whatever else a chunk says is looked at each time. */
static bool may_learn(const struct chunk_info *i)
{
    return i->kind == CHUNK_CONTENT && i->has_text && !i->has_role && !i->has_finish &&
           !i->has_usage && !i->needs_rewrite;
}

static void learn(struct chunk_shape *s, struct str line, const struct chunk_info *info)
{
    size_t begin = text_at(line), end, bytes;
    const char *quote = begin > 0 ? memchr(line.p + begin, '"', line.n - begin) : NULL;

    s->prefix_bytes = 0;
    if (!quote || !may_learn(info))
        return;
    end = (size_t)(quote - line.p);
    if (end == begin || !is_plain_text(line.p + begin, end - begin, &bytes) ||
        begin + line.n - end > sizeof s->fixed || !lies_in(info->head.id, line, begin) ||
        !lies_in(info->head.model, line, begin))
        return;
    s->info = *info;
    s->info.text_bytes -= bytes;
    s->json_at = (size_t)(info->json.p - line.p);
    s->json_tail = line.n - s->json_at - info->json.n;
    s->id_at = (size_t)(info->head.id.p - line.p);
    s->model_at = (size_t)(info->head.model.p - line.p);
    s->suffix_bytes = line.n - end;
    s->prefix_bytes = begin;
    memcpy(s->fixed, line.p, begin);
    memcpy(s->fixed + begin, line.p + end, s->suffix_bytes);
}

static bool fits(const struct chunk_shape *s, struct str line, size_t *ret_bytes)
{
    size_t around = s->prefix_bytes + s->suffix_bytes;

    return s->prefix_bytes > 0 && line.n > around &&
           memcmp(line.p, s->fixed, s->prefix_bytes) == 0 &&
           memcmp(line.p + line.n - s->suffix_bytes, s->fixed + s->prefix_bytes, s->suffix_bytes) ==
               0 &&
           is_plain_text(line.p + s->prefix_bytes, line.n - around, ret_bytes);
}

void chunk_inspect_next(struct chunk_shape *s, struct str line, struct chunk_info *ret_info)
{
    size_t bytes;

    if (!fits(s, line, &bytes)) {
        chunk_inspect(line, ret_info);
        learn(s, line, ret_info);
        return;
    }
    *ret_info = s->info;
    ret_info->json = (struct str){line.p + s->json_at, line.n - s->json_at - s->json_tail};
    ret_info->text_bytes += bytes;
    ret_info->head.id.p = line.p + s->id_at;
    ret_info->head.model.p = line.p + s->model_at;
}
