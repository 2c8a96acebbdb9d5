/* SPDX-License-Identifier: Apache-2.0 */
/* Chunks as consumers expect them. */
#include <yyjson.h>

#include "proto/chunk.h"

/* yyjson's memory comes from the region and goes with it. */
static void *chunk_region_malloc(void *ctx, size_t n)
{
    return arena_alloc(ctx, n);
}

static void *chunk_region_realloc(void *ctx, void *p, size_t old_n, size_t n)
{
    void *grown = n <= old_n ? p : arena_alloc(ctx, n);

    if (grown && grown != p)
        memcpy(grown, p, old_n);
    return grown;
}

static void chunk_region_free(void *ctx, void *p)
{
    (void)ctx;
    (void)p;
}

static yyjson_alc chunk_region_alc(struct arena *region)
{
    return (yyjson_alc){chunk_region_malloc, chunk_region_realloc, chunk_region_free, region};
}

/* --- one delta --- */

/* One name for reasoning: an own text of the old name's, where the new one has none. */
static void chunk_move_reasoning(yyjson_mut_doc *doc, yyjson_mut_val *delta)
{
    yyjson_mut_val *moved = yyjson_mut_obj_get(delta, "reasoning_content");
    yyjson_mut_val *own = yyjson_mut_obj_get(delta, "reasoning");

    if (!moved)
        return;
    moved = yyjson_mut_val_mut_copy(doc, moved);
    yyjson_mut_obj_remove_key(delta, "reasoning_content");
    if (yyjson_mut_is_str(own) && yyjson_mut_get_len(own) > 0)
        return;
    yyjson_mut_obj_remove_key(delta, "reasoning");
    yyjson_mut_obj_add_val(doc, delta, "reasoning", moved);
}

static void chunk_normalise_delta(yyjson_mut_doc *doc, yyjson_mut_val *delta, bool add_role)
{
    static const char *const texts[] = {"content", "reasoning", "reasoning_content", "refusal"};
    yyjson_mut_val *calls = yyjson_mut_obj_get(delta, "tool_calls");
    yyjson_mut_val *role = yyjson_mut_obj_get(delta, "role");

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        yyjson_mut_val *v = yyjson_mut_obj_get(delta, texts[i]);

        if (yyjson_mut_is_null(v))
            yyjson_mut_set_str(v, "");
    }
    if (yyjson_mut_is_null(calls))
        yyjson_mut_set_arr(calls);
    chunk_move_reasoning(doc, delta);
    if (add_role && !role)
        yyjson_mut_obj_add_str(doc, delta, "role", "assistant");
    else if (add_role && yyjson_mut_is_null(role))
        yyjson_mut_set_str(role, "assistant");
}

/* A choice of a whole answer as one of a stream: SDKs read no message there. */
static void chunk_open_message(yyjson_mut_doc *doc, yyjson_mut_val *choice)
{
    yyjson_mut_val *delta = yyjson_mut_obj_remove_key(choice, "message"), *call;
    yyjson_mut_arr_iter it;

    if (!delta)
        return;
    yyjson_mut_obj_remove_key(choice, "delta");
    yyjson_mut_obj_add_val(doc, choice, "delta", delta);
    yyjson_mut_arr_iter_init(yyjson_mut_obj_get(delta, "tool_calls"), &it);
    for (uint64_t i = 0; (call = yyjson_mut_arr_iter_next(&it)); i++) {
        if (yyjson_mut_is_obj(call) && !yyjson_mut_obj_get(call, "index"))
            yyjson_mut_obj_add_uint(doc, call, "index", i);
    }
}

/* --- the object --- */

static void chunk_drop_if_null(yyjson_mut_val *obj, const char *name)
{
    if (yyjson_mut_is_null(yyjson_mut_obj_get(obj, name)))
        yyjson_mut_obj_remove_key(obj, name);
}

static void chunk_drop_receipt(yyjson_mut_val *root)
{
    static const struct str ours[] = {CHUNK_RECEIPT_MEMBERS};

    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
        yyjson_mut_obj_remove_keyn(root, ours[i].p, ours[i].n);
}

/* Whether it was a whole answer. */
static bool chunk_open_whole(yyjson_mut_val *root)
{
    yyjson_mut_val *object = yyjson_mut_obj_get(root, "object");

    if (!yyjson_mut_equals_str(object, "chat.completion"))
        return false;
    yyjson_mut_set_str(object, "chat.completion.chunk");
    return true;
}

static void chunk_normalise_choices(yyjson_mut_doc *doc, yyjson_mut_val *root, bool add_role)
{
    bool whole = chunk_open_whole(root);
    yyjson_mut_arr_iter it;
    yyjson_mut_val *choice;

    yyjson_mut_arr_iter_init(yyjson_mut_obj_get(root, "choices"), &it);
    while ((choice = yyjson_mut_arr_iter_next(&it))) {
        if (whole)
            chunk_open_message(doc, choice);
        chunk_normalise_delta(doc, yyjson_mut_obj_get(choice, "delta"), add_role);
    }
}

int chunk_normalise(struct str json, bool add_role, bool drop_usage, struct arena *region,
                    struct buf *out)
{
    yyjson_alc alc = chunk_region_alc(region);
    yyjson_read_err e = {0};
    yyjson_doc *doc = yyjson_read_opts((char *)json.p, json.n, 0, &alc, &e);
    yyjson_mut_doc *mut = doc ? yyjson_doc_mut_copy(doc, &alc) : NULL;
    yyjson_mut_val *root = mut ? yyjson_mut_doc_get_root(mut) : NULL;
    size_t n = 0;
    char *text;

    if (!root)
        return doc || e.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION ? ERR_LIMIT : ERR_PARSE;
    chunk_drop_if_null(root, "usage");
    chunk_drop_if_null(root, "system_fingerprint");
    chunk_drop_receipt(root);
    if (drop_usage)
        yyjson_mut_obj_remove_key(root, "usage");
    chunk_normalise_choices(mut, root, add_role);
    text = yyjson_mut_write_opts(mut, 0, &alc, &n, NULL);
    return text && buf_append(out, text, n) == 0 ? 0 : ERR_LIMIT;
}
