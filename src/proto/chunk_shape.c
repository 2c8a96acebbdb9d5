/* SPDX-License-Identifier: Apache-2.0 */
/* Chunks of one stream differ in the text of delta.content and in little else. Comparing the bytes
 * around it costs a tenth of walking through them. */
#include "base/check.h"
#include "proto/chunk.h"
#include "proto/json_scan.h"

/* Whether it is the inside of a JSON string, with no escape but the short ones, and *ret_bytes that
 * it stands for: each of those is one byte in two. A \u escape may be half a pair: that is for the
 * full look. */
static bool chunk_shape_is_plain_text(const char *p, size_t n, size_t *ret_bytes)
{
    size_t at = 0, escapes = 0;
    bool ascii = true;

    while (n - at >= 8 && json_is_plain_ascii(p + at))
        at += 8;
    for (; at < n; at++) {
        unsigned char c = (unsigned char)p[at];

        if (c == '\\') {
            if (++at == n || !strchr("\"\\/bfnrt", p[at]) || p[at] == 0)
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

static bool chunk_shape_lies_in(struct str part, struct str line, size_t n)
{
    return part.p && part.p >= line.p && part.p + part.n <= line.p + n;
}

/* Only chunks of content and nothing else: whatever else a chunk says is looked at each time. */
static bool chunk_shape_may_learn(const struct chunk_info *i)
{
    return i->kind == CHUNK_CONTENT && i->content.p && !i->has_role && !i->has_finish &&
           !i->has_usage && !i->needs_rewrite;
}

/* `info` is what the full look saw of this line, so info->content is the one text that counts. */
static void chunk_shape_learn(struct chunk_shape *s, struct str line, const struct chunk_info *info)
{
    size_t begin, end, bytes;

    s->prefix_bytes = 0;
    if (!chunk_shape_may_learn(info))
        return;
    begin = (size_t)(info->content.p - line.p);
    end = begin + info->content.n;
    CHECK(begin > 0 && end < line.n);
    if (!chunk_shape_is_plain_text(info->content.p, info->content.n, &bytes) ||
        begin + line.n - end > sizeof s->fixed ||
        !chunk_shape_lies_in(info->head.id, line, begin) ||
        !chunk_shape_lies_in(info->head.model, line, begin))
        return;
    CHECK(bytes == info->text_bytes);
    s->info = *info;
    s->json_at = (size_t)(info->json.p - line.p);
    s->json_tail = line.n - s->json_at - info->json.n;
    s->id_at = (size_t)(info->head.id.p - line.p);
    s->model_at = (size_t)(info->head.model.p - line.p);
    s->suffix_bytes = line.n - end;
    s->prefix_bytes = begin;
    memcpy(s->fixed, line.p, begin);
    memcpy(s->fixed + begin, line.p + end, s->suffix_bytes);
}

/* The same bytes around another text that is not empty: then the same members stand at the same
 * places, and a parser sees the same chunk with that text. */
static bool chunk_shape_fits(const struct chunk_shape *s, struct str line, size_t *ret_bytes)
{
    size_t around = s->prefix_bytes + s->suffix_bytes;

    return s->prefix_bytes > 0 && line.n > around &&
           memcmp(line.p, s->fixed, s->prefix_bytes) == 0 &&
           memcmp(line.p + line.n - s->suffix_bytes, s->fixed + s->prefix_bytes, s->suffix_bytes) ==
               0 &&
           chunk_shape_is_plain_text(line.p + s->prefix_bytes, line.n - around, ret_bytes);
}

void chunk_inspect_next(struct chunk_shape *s, struct str line, struct chunk_info *ret_info)
{
    size_t bytes;

    if (!chunk_shape_fits(s, line, &bytes)) {
        chunk_inspect(line, ret_info);
        chunk_shape_learn(s, line, ret_info);
        return;
    }
    *ret_info = s->info;
    ret_info->json = (struct str){line.p + s->json_at, line.n - s->json_at - s->json_tail};
    ret_info->text_bytes = bytes;
    ret_info->content =
        (struct str){line.p + s->prefix_bytes, line.n - s->prefix_bytes - s->suffix_bytes};
    ret_info->head.id.p = line.p + s->id_at;
    ret_info->head.model.p = line.p + s->model_at;
}
