/* SPDX-License-Identifier: Apache-2.0 */
/* Both decoders of the wire between daemon and engine: the first byte says who speaks. What is
 * accepted lies within the input and is what is written for it. */
#include "fuzz/fuzz.h"
#include <stdlib.h>

#include "provider/wire/wire.h"

enum { OUT_BYTES = 16 << 20 };

/* A frame that was accepted is the only one of its meaning. */
static void write_again(const struct wire_msg *m, struct str frame)
{
    struct buf out;

    buf_init(&out, OUT_BYTES);
    if (wire_append(&out, m) < 0 || !str_eq(buf_view(&out), frame))
        abort();
    buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = {(const char *)data + 1, size - 1};
    struct wire_msg m;
    size_t n = 0;

    if (size == 0)
        return 0;
    while (wire_next(in, data[0] & 1 ? WIRE_ENGINE : WIRE_DAEMON, &m, &n) == 1) {
        if (n > in.n)
            abort();
        write_again(&m, (struct str){in.p, n});
        in = (struct str){in.p + n, in.n - n};
    }
    return 0;
}
