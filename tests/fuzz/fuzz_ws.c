/* SPDX-License-Identifier: Apache-2.0 */
/* WebSocket frames in arbitrary splits. The first byte chooses the end and the size of the pieces.
 * Invariants: no message is larger than the limit, text is UTF-8, and an error comes with a code.
 */
#include "fuzz/fuzz.h"
#include <stdlib.h>

#include "net/ws.h"

enum { LIMIT_BYTES = 4096 };

static void check(const struct ws_message *m)
{
    if (m->payload.n > LIMIT_BYTES || m->opcode == WS_CONTINUATION)
        abort();
    if (m->opcode == WS_TEXT && !str_is_utf8(m->payload))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ws_parser p;
    struct ws_message m;
    struct buf in;
    size_t piece, at = 1;
    int code = 0, rc = 0;

    if (size == 0)
        return 0;
    piece = 1 + (data[0] >> 1) % 64;
    ws_parser_init(&p, data[0] & 1, LIMIT_BYTES);
    buf_init(&in, 1U << 20);
    while (at < size && rc >= 0) {
        size_t n = size - at < piece ? size - at : piece;

        if (buf_append(&in, data + at, n) < 0)
            break;
        at += n;
        while ((rc = ws_parser_next(&p, &in, &m, &code)) > 0)
            check(&m);
        if (rc < 0 && (code < 1000 || code > 1011))
            abort();
    }
    ws_parser_free(&p);
    buf_free(&in);
    return 0;
}
