/* SPDX-License-Identifier: Apache-2.0 */
/* RFC 6455 §5: framing without I/O. */
#include <openssl/evp.h>
#include <openssl/sha.h>

#include "base/b64.h"
#include "net/ws.h"

enum { KEEP_BYTES = 4 << 10, FIN = 0x80, RESERVED = 0x70, MASKED = 0x80 };

struct frame_head {
    bool fin, masked;
    enum ws_opcode opcode;
    size_t head_bytes;
    uint64_t payload_bytes;
    uint8_t mask[4];
};

void ws_parser_init(struct ws_parser *p, bool expect_mask, size_t max_message_bytes)
{
    *p = (struct ws_parser){.expect_mask = expect_mask, .max_message_bytes = max_message_bytes};
    buf_init(&p->message, max_message_bytes);
}

void ws_parser_free(struct ws_parser *p)
{
    buf_free(&p->message);
}

static void ws_frame_apply_mask(uint8_t *p, size_t n, const uint8_t mask[4])
{
    uint64_t wide, word, words[4];
    uint32_t narrow;
    size_t i = 0;

    memcpy(&narrow, mask, 4);
    wide = (uint64_t)narrow << 32 | narrow;
    for (; i + sizeof words <= n; i += sizeof words) {
        memcpy(words, p + i, sizeof words);
        words[0] ^= wide;
        words[1] ^= wide;
        words[2] ^= wide;
        words[3] ^= wide;
        memcpy(p + i, words, sizeof words);
    }
    for (; i + 8 <= n; i += 8) {
        memcpy(&word, p + i, 8);
        word ^= wide;
        memcpy(p + i, &word, 8);
    }
    for (; i < n; i++)
        p[i] ^= mask[i & 3];
}

/* 1 and the head; 0: more bytes are needed. */
static int ws_frame_read_head(const uint8_t *p, size_t n, struct frame_head *ret_head)
{
    struct frame_head h = {0};
    size_t length_bytes, at = 2;

    if (n < 2)
        return 0;
    h.fin = p[0] & FIN;
    h.opcode = (enum ws_opcode)(p[0] & 0x0F);
    h.masked = p[1] & MASKED;
    h.payload_bytes = p[1] & 0x7F;
    length_bytes = h.payload_bytes == 126 ? 2 : h.payload_bytes == 127 ? 8 : 0;
    h.head_bytes = 2 + length_bytes + (h.masked ? 4 : 0);
    if (n < h.head_bytes)
        return 0;
    if (length_bytes > 0)
        h.payload_bytes = 0;
    for (size_t i = 0; i < length_bytes; i++)
        h.payload_bytes = h.payload_bytes << 8 | p[at++];
    if (h.masked)
        memcpy(h.mask, p + at, 4);
    *ret_head = h;
    return 1;
}

static bool ws_frame_is_control(enum ws_opcode opcode)
{
    return opcode >= WS_CLOSE;
}

static bool ws_frame_known(enum ws_opcode opcode)
{
    return opcode <= WS_BINARY || (opcode >= WS_CLOSE && opcode <= WS_PONG);
}

/* The rules that a head alone can break. 0, or the error and its close code. */
static int ws_frame_check_head(const struct ws_parser *p, const struct frame_head *h, uint8_t first,
                               int *ret_close_code)
{
    bool fragmented = p->opcode != WS_CONTINUATION;

    *ret_close_code = WS_CLOSE_PROTOCOL;
    if (first & RESERVED || !ws_frame_known(h->opcode) || h->masked != p->expect_mask)
        return ERR_PROTOCOL;
    if (ws_frame_is_control(h->opcode))
        return h->fin && h->payload_bytes <= WS_CONTROL_MAX_BYTES ? 0 : ERR_PROTOCOL;
    if ((h->opcode == WS_CONTINUATION) != fragmented)
        return ERR_PROTOCOL;
    *ret_close_code = WS_CLOSE_TOO_BIG;
    /* The limit may have been lowered below what is there already. */
    if (p->message.len > p->max_message_bytes ||
        h->payload_bytes > p->max_message_bytes - p->message.len)
        return ERR_LIMIT;
    return 0;
}

static int ws_frame_check_text(enum ws_opcode opcode, struct str payload, int *ret_close_code)
{
    if (opcode != WS_TEXT || str_is_utf8(payload))
        return 1;
    *ret_close_code = WS_CLOSE_BAD_DATA;
    return ERR_PARSE;
}

/* Codes that an end may send (RFC 6455 §7.4, IANA's registry up to 1014). */
static bool ws_frame_may_be_sent(int code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
           (code >= 3000 && code <= 4999);
}

/* A close is empty, or a code and a reason in UTF-8. */
static int ws_frame_check_close(struct str payload, int *ret_close_code)
{
    int code;

    if (payload.n == 0)
        return 1;
    code = payload.n == 1 ? 0 : (uint8_t)payload.p[0] << 8 | (uint8_t)payload.p[1];
    *ret_close_code = WS_CLOSE_PROTOCOL;
    if (!ws_frame_may_be_sent(code))
        return ERR_PROTOCOL;
    return ws_frame_check_text(WS_TEXT, (struct str){payload.p + 2, payload.n - 2}, ret_close_code);
}

/* A data frame: a whole message, or a fragment that is collected. */
static int ws_frame_take_data(struct ws_parser *p, const struct frame_head *h, struct str payload,
                              struct ws_message *ret_message, int *ret_close_code)
{
    if (h->fin && h->opcode != WS_CONTINUATION) {
        *ret_message = (struct ws_message){h->opcode, payload};
        return ws_frame_check_text(h->opcode, payload, ret_close_code);
    }
    if (h->opcode != WS_CONTINUATION)
        p->opcode = h->opcode;
    if (buf_append_str(&p->message, payload) < 0) { /* its size was judged by its head */
        *ret_close_code = WS_CLOSE_TRY_LATER;
        return ERR_BUSY;
    }
    if (!h->fin)
        return 0;
    *ret_message = (struct ws_message){p->opcode, buf_view(&p->message)};
    p->opcode = WS_CONTINUATION;
    p->joined = true;
    return ws_frame_check_text(ret_message->opcode, ret_message->payload, ret_close_code);
}

int ws_parser_next(struct ws_parser *p, struct buf *in, struct ws_message *ret_message,
                   int *ret_close_code)
{
    int rc = 0;

    if (p->joined) {
        buf_clear(&p->message);
        if (p->message.cap > KEEP_BYTES)
            buf_free(&p->message);
        p->joined = false;
    }
    while (rc == 0) {
        struct frame_head h;
        struct str v, payload;

        buf_consume(in, p->consume);
        p->consume = 0;
        v = buf_view(in);
        if (!ws_frame_read_head((const uint8_t *)v.p, v.n, &h))
            return 0;
        rc = ws_frame_check_head(p, &h, (uint8_t)v.p[0], ret_close_code);
        if (rc < 0)
            return rc;
        if (v.n - h.head_bytes < h.payload_bytes)
            return 0;
        payload = (struct str){v.p + h.head_bytes, (size_t)h.payload_bytes};
        if (h.masked)
            ws_frame_apply_mask((uint8_t *)in->mem + in->off + h.head_bytes, payload.n, h.mask);
        p->consume = h.head_bytes + payload.n;
        if (ws_frame_is_control(h.opcode)) {
            *ret_message = (struct ws_message){h.opcode, payload};
            return h.opcode == WS_CLOSE ? ws_frame_check_close(payload, ret_close_code) : 1;
        }
        rc = ws_frame_take_data(p, &h, payload, ret_message, ret_close_code);
    }
    return rc;
}

size_t ws_frame_head(enum ws_opcode opcode, size_t n, const uint8_t mask[4],
                     uint8_t ret_head[static WS_HEAD_MAX_BYTES])
{
    size_t length_bytes = n < 126 ? 0 : n < 65536 ? 2 : 8;
    size_t at = 2;

    ret_head[0] = (uint8_t)(FIN | opcode);
    ret_head[1] = (uint8_t)((mask ? MASKED : 0) | (length_bytes == 0   ? n
                                                   : length_bytes == 2 ? 126
                                                                       : 127));
    for (size_t i = length_bytes; i > 0; i--)
        ret_head[at++] = (uint8_t)((uint64_t)n >> (8 * (i - 1)));
    if (mask) {
        memcpy(ret_head + at, mask, 4);
        at += 4;
    }
    return at;
}

void ws_mask(char *payload, size_t n, const uint8_t mask[4])
{
    ws_frame_apply_mask((uint8_t *)payload, n, mask);
}

int ws_frame_append(struct buf *out, enum ws_opcode opcode, struct str payload,
                    const uint8_t mask[4])
{
    uint8_t head[WS_HEAD_MAX_BYTES];
    size_t head_n = ws_frame_head(opcode, payload.n, mask, head);
    char *at = buf_reserve(out, head_n + payload.n);

    if (!at)
        return ERR_LIMIT;
    memcpy(at, head, head_n);
    if (payload.n > 0)
        memcpy(at + head_n, payload.p, payload.n);
    if (mask)
        ws_mask(at + head_n, payload.n, mask);
    buf_commit(out, head_n + payload.n);
    return 0;
}

void ws_accept_key(struct str key, char ret_accept[29])
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; /* RFC 6455 §1.3 */
    unsigned char digest[SHA_DIGEST_LENGTH];
    unsigned char text[128];
    size_t n = key.n < 64 ? key.n : 64;

    memcpy(text, key.p, n);
    memcpy(text + n, guid, sizeof guid - 1);
    EVP_Digest(text, n + sizeof guid - 1, digest, NULL, EVP_sha1(), NULL);
    b64_encode(digest, sizeof digest, ret_accept);
}
