/* SPDX-License-Identifier: Apache-2.0 */
/* Texts: what is JSON and what is not, as another parser says. Bodies of consumers and chunks of
 * providers: what parses can be rewritten, and the rewritten body parses to the new limit; a chunk
 * is seen for the same whatever came before it, and what consumers get of it is JSON. */
#include "fuzz/fuzz.h"
#include <stdlib.h>

#include <yyjson.h>

#include "proto/chat.h"
#include "proto/chunk.h"
#include "proto/json_check.h"
#include "shared/chunk_reference.h"

enum { REGION_BYTES = 16 << 20, OUT_BYTES = 8 << 20, NEW_LIMIT = 77 };

static void text(struct str input)
{
    const char *why = NULL;
    int rc = json_check(input, JSON_CHECK_MAX_DEPTH, &why);
    yyjson_doc *doc = input.n ? yyjson_read(input.p, input.n, 0) : NULL;

    if (rc == ERR_LIMIT)
        ; /* deeper than anybody goes */
    else if (rc == 0 ? !doc : doc && strcmp(why, "a number too large") != 0)
        abort();
    yyjson_doc_free(doc);
}

static void body(struct str input)
{
    struct chat_request r, again;
    struct api_error e = {0};
    struct arena region;
    struct buf out;

    arena_init(&region, REGION_BYTES);
    buf_init(&out, OUT_BYTES);
    if (chat_request_parse(input, &region, &r, &e) == 0) {
        if (chat_request_rewrite(&r, input, NEW_LIMIT, &out) < 0 ||
            chat_request_parse(buf_view(&out), &region, &again, &e) < 0 ||
            again.max_tokens != NEW_LIMIT || !str_eq(again.model, r.model))
            abort();
    } else if (e.id == API_OK || !e.message[0]) {
        abort(); /* a refusal without a reason */
    }
    buf_free(&out);
    arena_free(&region);
}

/* Whatever came before it: a chunk of text, this one, or one that differs in its last bytes. */
static void looks_the_same(struct str input, const struct chunk_info *seen)
{
    static const struct str text = STR(
        "data: {\"id\":\"c\",\"created\":7,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{"
        "\"content\":\"a\"},\"finish_reason\":null}]}");
    const struct str before[] = {text, input, {input.p, input.n - input.n / 8}};

    for (size_t i = 0; i < sizeof before / sizeof before[0]; i++) {
        struct chunk_shape shape = {0};
        struct chunk_info info;

        chunk_inspect_next(&shape, before[i], &info);
        chunk_inspect_next(&shape, input, &info);
        if (!reference_same(&info, seen))
            abort();
    }
}

/* What reaches a consumer that streams: one line of JSON, as it is or rewritten. */
static void is_relayed_as_json(const struct chunk_info *info, struct arena *region, struct buf *out)
{
    struct chunk_info again;

    if (!info->needs_rewrite &&
        (memchr(info->json.p, '\n', info->json.n) || memchr(info->json.p, '\r', info->json.n)))
        abort();
    if (buf_append_str(out, STR("data: ")) < 0 ||
        chunk_normalise(info->json, true, true, region, out) == ERR_PARSE)
        abort();
    chunk_inspect(buf_view(out), &again);
    if (again.kind == CHUNK_BAD || again.has_usage)
        abort();
}

/* What reaches one that does not. */
static void is_joined_as_json(const struct chunk_info *info, struct arena *region, struct buf *out)
{
    const struct chunk_head head = {STR("c"), STR("m"), 7};
    struct chunk_info whole;
    struct chunk_join *j;

    if (chunk_join_new(region, OUT_BYTES / 8, NULL, &j) < 0)
        abort();
    if (chunk_join_add(j, info->json) == ERR_PARSE)
        abort();
    (void)chunk_join_add(j, info->json);
    buf_clear(out);
    if (buf_append_str(out, STR("data: ")) < 0 ||
        chunk_join_write(j, &head, 1, 2, (struct str){0}, out) < 0)
        abort();
    chunk_inspect(buf_view(out), &whole);
    if (whole.kind != CHUNK_WHOLE || whole.completion_tokens != 2)
        abort();
    chunk_join_free(j);
}

static void chunk(struct str input)
{
    struct chunk_info info;
    struct arena region;
    struct buf out;

    chunk_inspect(input, &info);
    if (info.kind != CHUNK_BAD && info.text_bytes != reference_text_bytes(info.json))
        abort(); /* text counts that nobody shows, or the other way round */
    looks_the_same(input, &info);
    if (info.kind != CHUNK_CONTENT && info.kind != CHUNK_WHOLE)
        return;
    arena_init(&region, REGION_BYTES);
    buf_init(&out, OUT_BYTES);
    is_relayed_as_json(&info, &region, &out);
    is_joined_as_json(&info, &region, &out);
    buf_free(&out);
    arena_free(&region);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str input = {(const char *)data, size};

    text(input);
    body(input);
    chunk(input);
    return 0;
}
