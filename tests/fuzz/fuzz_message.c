/* SPDX-License-Identifier: Apache-2.0 */
/* Frames of the provider link. What decodes must encode, and decode again to the same bytes. */
#include "fuzz/fuzz.h"
#include <stdlib.h>

#include "proto/provider_msg.h"

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct proto_scratch scratch;
    struct provider_msg m;
    struct err e = {0};

    if (proto_scratch_init(&scratch, 4U << 20) < 0)
        return 0;
    if (provider_msg_decode(&scratch, (struct str){(const char *)data, size}, &m, &e) == 0 &&
        m.type != MSG_UNKNOWN)
        round_trip(&scratch, &m);
    proto_scratch_free(&scratch);
    return 0;
}
