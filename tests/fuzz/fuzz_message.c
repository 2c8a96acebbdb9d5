/* SPDX-License-Identifier: Apache-2.0 */
/* Frames of the provider link. What decodes must encode, and decode again to the same bytes. */
#include "fuzz/fuzz.h"
#include <stdlib.h>

#include "proto/sealed_msg.h"

enum { OUT_MAX_BYTES = 8 << 20 };

static void round_trip(struct proto_scratch *scratch, const struct provider_msg *m)
{
    struct provider_msg again;
    struct buf first, second;

    buf_init(&first, OUT_MAX_BYTES);
    buf_init(&second, OUT_MAX_BYTES);
    if (provider_msg_encode(m, &first) == 0) {
        if (provider_msg_decode(scratch, buf_view(&first), &again, NULL) < 0 ||
            provider_msg_encode(&again, &second) < 0 ||
            !str_eq(buf_view(&first), buf_view(&second)))
            abort();
    }
    buf_free(&first);
    buf_free(&second);
}

/* The hot chunk has a short way of its own; a space behind the frame keeps it from being taken. */
static void means_the_same_by_the_tables(struct proto_scratch *scratch,
                                         const struct provider_msg *m)
{
    struct provider_msg by_tables;
    struct buf first, spaced, second;

    buf_init(&first, OUT_MAX_BYTES);
    buf_init(&spaced, OUT_MAX_BYTES);
    buf_init(&second, OUT_MAX_BYTES);
    if (provider_msg_encode(m, &first) == 0) {
        if (buf_printf(&spaced, "%.*s ", STR_ARG(buf_view(&first))) < 0 ||
            provider_msg_decode(scratch, buf_view(&spaced), &by_tables, NULL) < 0 ||
            provider_msg_encode(&by_tables, &second) < 0 ||
            !str_eq(buf_view(&first), buf_view(&second)))
            abort();
    }
    buf_free(&first);
    buf_free(&spaced);
    buf_free(&second);
}

static struct str input(const uint8_t *data, size_t size)
{
    return (struct str){(const char *)data, size};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct proto_scratch scratch;
    struct provider_msg m;
    struct err e = {0};

    if (proto_scratch_init(&scratch, 4U << 20) < 0)
        return 0;
    if (provider_msg_decode(&scratch, input(data, size), &m, &e) == 0 && m.type != MSG_UNKNOWN)
        round_trip(&scratch, &m);
    if (msg_chunk_read(input(data, size), &m.chunk)) {
        m.type = MSG_INFERENCE_RESPONSE_CHUNK;
        means_the_same_by_the_tables(&scratch, &m);
    }
    proto_scratch_free(&scratch);
    return 0;
}
