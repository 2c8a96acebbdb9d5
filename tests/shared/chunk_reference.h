/* SPDX-License-Identifier: Apache-2.0 */
/* What an SDK shows of a chunk, found the slow way: by a tree, as any client would. Unit tests and
 * the fuzz target compare chunk_inspect with it. */
#ifndef DARKBLOOM_TESTS_SHARED_CHUNK_REFERENCE_H
#define DARKBLOOM_TESTS_SHARED_CHUNK_REFERENCE_H

#include <yyjson.h>

#include "proto/chunk.h"

static inline size_t reference_len(yyjson_val *object, const char *name)
{
    yyjson_val *v = yyjson_obj_get(object, name);

    return yyjson_is_str(v) ? yyjson_get_len(v) : 0;
}

/* Bytes of text of the first choice's delta, or of its message in a whole answer. */
static inline size_t reference_text_bytes(struct str json)
{
    yyjson_doc *doc = yyjson_read(json.p, json.n, 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    bool whole = yyjson_equals_str(yyjson_obj_get(root, "object"), "chat.completion");
    yyjson_val *choice = yyjson_arr_get_first(yyjson_obj_get(root, "choices"));
    yyjson_val *said = yyjson_obj_get(choice, whole ? "message" : "delta"), *call;
    size_t reasoning = reference_len(said, "reasoning");
    size_t bytes = reference_len(said, "content") + reference_len(said, "refusal") +
                   (reasoning > 0 ? reasoning : reference_len(said, "reasoning_content"));
    yyjson_arr_iter it;

    yyjson_arr_iter_init(yyjson_obj_get(said, "tool_calls"), &it);
    while ((call = yyjson_arr_iter_next(&it)))
        bytes += reference_len(yyjson_obj_get(call, "function"), "name") +
                 reference_len(yyjson_obj_get(call, "function"), "arguments");
    yyjson_doc_free(doc);
    return bytes;
}

static inline bool reference_same(const struct chunk_info *a, const struct chunk_info *b)
{
    if (a->kind != b->kind || a->kind == CHUNK_BAD)
        return a->kind == b->kind;
    return a->json.p == b->json.p && a->json.n == b->json.n && a->has_role == b->has_role &&
           a->has_text == b->has_text && a->has_finish == b->has_finish &&
           a->finish.p == b->finish.p && a->needs_rewrite == b->needs_rewrite &&
           a->text_bytes == b->text_bytes && a->content.p == b->content.p &&
           a->content.n == b->content.n && a->has_usage == b->has_usage &&
           a->prompt_tokens == b->prompt_tokens && a->completion_tokens == b->completion_tokens &&
           a->head.id.p == b->head.id.p && a->head.id.n == b->head.id.n &&
           a->head.model.p == b->head.model.p && a->head.model.n == b->head.model.n &&
           a->head.created_s == b->head.created_s;
}

#endif
