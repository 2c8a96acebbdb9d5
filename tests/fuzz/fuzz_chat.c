/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies of consumers and chunks of providers: what parses can be rewritten, and the rewritten body
 * parses to the new limit; what is normalised can be inspected again. */
#include "fuzz/fuzz.h"
#include <stdlib.h>

#include "proto/chat.h"
#include "proto/chunk.h"

enum { REGION_BYTES = 16 << 20, OUT_BYTES = 8 << 20, NEW_LIMIT = 77 };

static void body(struct str input)
{
    struct chat_request r, again;
    struct api_error e = {0};
    struct arena region;
    struct buf out;

    arena_init(&region, REGION_BYTES);
    buf_init(&out, OUT_BYTES);
    if (chat_request_parse(input, &region, &r, &e) == 0) {
        if (chat_request_rewrite(input, NEW_LIMIT, &out) < 0 ||
            chat_request_parse(buf_view(&out), &region, &again, &e) < 0 ||
            again.max_tokens != NEW_LIMIT || !str_eq(again.model, r.model))
            abort();
    } else if (e.id == API_OK || !e.message[0]) {
        abort(); /* a refusal without a reason */
    }
    buf_free(&out);
    arena_free(&region);
}

static void chunk(struct str input)
{
    struct chunk_info info, again;
    struct arena region;
    struct buf out;

    arena_init(&region, REGION_BYTES);
    buf_init(&out, OUT_BYTES);
    chunk_inspect(input, &info);
    if (info.kind == CHUNK_CONTENT && buf_append_str(&out, STR("data: ")) == 0 &&
        chunk_normalise(info.json, true, true, &region, &out) == 0) {
        chunk_inspect(buf_view(&out), &again);
        if (again.kind == CHUNK_BAD || again.has_usage)
            abort();
    }
    buf_free(&out);
    arena_free(&region);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str input = {(const char *)data, size};

    body(input);
    chunk(input);
    return 0;
}
