/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/sealed_msg.h"

/* --- writing: the constant parts are as the tables of provider_msg.def write them --- */

static char *sealed_msg_put(char *at, const char *p, size_t n)
{
    memcpy(at, p, n);
    return at + n;
}

static const char request_a[] = "{\"type\":\"inference_request\",\"request_id\":\"";
static const char request_b[] = "\",\"encrypted_body\":{\"ephemeral_public_key\":\"";
static const char request_c[] = "\",\"ciphertext\":\"";
static const char request_d[] = "\"}}";

size_t msg_request_size(struct str request_id, struct str public_key, size_t ciphertext_n)
{
    return sizeof request_a - 1 + request_id.n + sizeof request_b - 1 + public_key.n +
           sizeof request_c - 1 + ciphertext_n + sizeof request_d - 1;
}

char *msg_request_write(struct str request_id, struct str public_key, size_t ciphertext_n,
                        char *ret_text)
{
    char *at = sealed_msg_put(ret_text, request_a, sizeof request_a - 1);
    char *ciphertext;

    at = sealed_msg_put(at, request_id.p, request_id.n);
    at = sealed_msg_put(at, request_b, sizeof request_b - 1);
    at = sealed_msg_put(at, public_key.p, public_key.n);
    ciphertext = sealed_msg_put(at, request_c, sizeof request_c - 1);
    sealed_msg_put(ciphertext + ciphertext_n, request_d, sizeof request_d - 1);
    return ciphertext;
}

static const char chunk_a[] = "{\"type\":\"inference_response_chunk\",\"request_id\":\"";
static const char chunk_b[] = "\",\"encrypted_data\":{\"ephemeral_public_key\":\"";
static const char chunk_c[] = "\",\"ciphertext\":\"";
static const char chunk_d[] = "\"}";
static const char chunk_e[] = ",\"tokens\":";

static size_t sealed_msg_digits(int64_t v)
{
    size_t n = 1;

    while (v >= 10) {
        v /= 10;
        n++;
    }
    return n;
}

size_t msg_chunk_size(struct str request_id, struct str public_key, size_t ciphertext_n,
                      int64_t tokens)
{
    return sizeof chunk_a - 1 + request_id.n + sizeof chunk_b - 1 + public_key.n + sizeof chunk_c -
           1 + ciphertext_n + sizeof chunk_d - 1 +
           (tokens >= 0 ? sizeof chunk_e - 1 + sealed_msg_digits(tokens) : 0) + 1;
}

char *msg_chunk_write(struct str request_id, struct str public_key, size_t ciphertext_n,
                      int64_t tokens, char *ret_text)
{
    char *at = sealed_msg_put(ret_text, chunk_a, sizeof chunk_a - 1);
    char *ciphertext;

    at = sealed_msg_put(at, request_id.p, request_id.n);
    at = sealed_msg_put(at, chunk_b, sizeof chunk_b - 1);
    at = sealed_msg_put(at, public_key.p, public_key.n);
    ciphertext = sealed_msg_put(at, chunk_c, sizeof chunk_c - 1);
    at = sealed_msg_put(ciphertext + ciphertext_n, chunk_d, sizeof chunk_d - 1);
    if (tokens >= 0) {
        size_t n = sealed_msg_digits(tokens);

        at = sealed_msg_put(at, chunk_e, sizeof chunk_e - 1);
        for (size_t i = n; i > 0; i--) {
            at[i - 1] = (char)('0' + tokens % 10);
            tokens /= 10;
        }
        at += n;
    }
    *at = '}';
    return ciphertext;
}

/* --- reading --- */

struct reader {
    const char *at, *end;
};

static bool sealed_msg_skip(struct reader *r, const char *text, size_t n)
{
    if ((size_t)(r->end - r->at) < n || memcmp(r->at, text, n) != 0)
        return false;
    r->at += n;
    return true;
}

/* No control character, which JSON forbids, and nothing beyond ASCII, which would have to be
 * checked. Eight at a time: taking 0x20 from a byte that is below it sets its top bit. */
static bool sealed_msg_is_printable(const char *p, size_t n)
{
    const uint64_t low = 0x2020202020202020ULL, top = 0x8080808080808080ULL;
    uint64_t word;

    for (; n >= sizeof word; p += sizeof word, n -= sizeof word) {
        memcpy(&word, p, sizeof word);
        if ((word | (word - low)) & top)
            return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (p[i] < 0x20 || p[i] & 0x80)
            return false;
    }
    return true;
}

/* The rest of a string up to its quote, which is not consumed; without any escape. */
static bool sealed_msg_take_string(struct reader *r, struct str *ret_text)
{
    const char *quote = memchr(r->at, '"', (size_t)(r->end - r->at));
    size_t n = quote ? (size_t)(quote - r->at) : 0;

    if (!quote || memchr(r->at, '\\', n) || !sealed_msg_is_printable(r->at, n))
        return false;
    *ret_text = (struct str){r->at, n};
    r->at = quote;
    return true;
}

/* 0, or up to 18 digits that begin with another one. */
static bool sealed_msg_take_tokens(struct reader *r, int64_t *ret_tokens)
{
    enum { DIGITS_MAX = 18 };
    const char *start = r->at;
    int64_t v = 0;

    while (r->at < r->end && r->at - start < DIGITS_MAX && *r->at >= '0' && *r->at <= '9')
        v = v * 10 + (*r->at++ - '0');
    if (r->at == start || (*start == '0' && r->at - start > 1))
        return false;
    *ret_tokens = v;
    return true;
}

#define SKIP(r, text) sealed_msg_skip(r, text, sizeof(text) - 1)

bool msg_chunk_read(struct str frame, struct msg_inference_response_chunk *ret_chunk)
{
    struct msg_inference_response_chunk m = {.has_encrypted_data = true, .tokens = PROTO_UNSET};
    struct reader r = {frame.p, frame.p + frame.n};

    if (!SKIP(&r, chunk_a) || !sealed_msg_take_string(&r, &m.request_id) || !SKIP(&r, chunk_b) ||
        !sealed_msg_take_string(&r, &m.encrypted_data.ephemeral_public_key) || !SKIP(&r, chunk_c) ||
        !sealed_msg_take_string(&r, &m.encrypted_data.ciphertext) || !SKIP(&r, chunk_d))
        return false;
    if (SKIP(&r, chunk_e) && !sealed_msg_take_tokens(&r, &m.tokens))
        return false;
    if (!SKIP(&r, "}") || r.at != r.end)
        return false;
    *ret_chunk = m;
    return true;
}
