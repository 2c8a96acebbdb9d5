/* SPDX-License-Identifier: Apache-2.0 */
#include "base/b64.h"

#include <openssl/evp.h>

#include "base/err.h"

size_t b64_encode(const void *bytes, size_t n, char *ret_text)
{
    return (size_t)EVP_EncodeBlock((unsigned char *)ret_text, bytes, (int)n);
}

/* Value of each character plus one; 0 outside the alphabet. */
#define V(c, v) [(unsigned char)(c)] = (v) + 1
static const uint8_t value_plus_one[256] = {
    V('A', 0),  V('B', 1),  V('C', 2),  V('D', 3),  V('E', 4),  V('F', 5),  V('G', 6),  V('H', 7),
    V('I', 8),  V('J', 9),  V('K', 10), V('L', 11), V('M', 12), V('N', 13), V('O', 14), V('P', 15),
    V('Q', 16), V('R', 17), V('S', 18), V('T', 19), V('U', 20), V('V', 21), V('W', 22), V('X', 23),
    V('Y', 24), V('Z', 25), V('a', 26), V('b', 27), V('c', 28), V('d', 29), V('e', 30), V('f', 31),
    V('g', 32), V('h', 33), V('i', 34), V('j', 35), V('k', 36), V('l', 37), V('m', 38), V('n', 39),
    V('o', 40), V('p', 41), V('q', 42), V('r', 43), V('s', 44), V('t', 45), V('u', 46), V('v', 47),
    V('w', 48), V('x', 49), V('y', 50), V('z', 51), V('0', 52), V('1', 53), V('2', 54), V('3', 55),
    V('4', 56), V('5', 57), V('6', 58), V('7', 59), V('8', 60), V('9', 61), V('+', 62), V('/', 63)};
#undef V

/* Four characters to 24 bits; a character outside the alphabet wraps to a value with high bits.
 * Inlined by force: the call would cost as much as the work, and each relayed token comes here. */
static inline __attribute__((always_inline)) uint32_t b64_quad(const unsigned char *p,
                                                               uint32_t *bad)
{
    uint32_t a = value_plus_one[p[0]] - 1U, b = value_plus_one[p[1]] - 1U;
    uint32_t c = value_plus_one[p[2]] - 1U, d = value_plus_one[p[3]] - 1U;

    *bad |= a | b | c | d;
    return a << 18 | b << 12 | c << 6 | d;
}

/* The last four characters: up to two '=' , and no stray bits in what they cut off. */
static int b64_last_quad(const unsigned char *p, uint8_t *out, size_t *ret_n)
{
    unsigned char text[4] = {p[0], p[1], p[2], p[3]};
    size_t n = 3;
    uint32_t bad = 0, bits;

    if (text[3] == '=') {
        n = text[2] == '=' ? 1 : 2;
        text[3] = 'A';
        if (n == 1)
            text[2] = 'A';
    }
    bits = b64_quad(text, &bad);
    if (bad & ~63U || (n == 2 && bits & 0xFF) || (n == 1 && bits & 0xFFFF))
        return ERR_PARSE;
    for (size_t i = 0; i < n; i++)
        out[i] = (uint8_t)(bits >> (16 - 8 * i));
    *ret_n = n;
    return 0;
}

int b64_decode(struct str text, void *ret_bytes, size_t cap, size_t *ret_n)
{
    const unsigned char *p = (const unsigned char *)text.p;
    uint8_t last[3];
    uint8_t *out = ret_bytes;
    size_t whole, tail_n;
    uint32_t bad = 0;

    if (text.n % 4 != 0)
        return ERR_PARSE;
    if (text.n == 0) {
        *ret_n = 0;
        return 0;
    }
    whole = text.n / 4 - 1;
    if (b64_last_quad(p + 4 * whole, last, &tail_n) < 0)
        return ERR_PARSE;
    if (whole * 3 + tail_n > cap)
        return ERR_LIMIT;
    /* `last` is written after the loop: text and bytes may be the same memory. */
    for (size_t i = 0; i < whole; i++) {
        uint32_t bits = b64_quad(p + 4 * i, &bad);

        out[3 * i] = (uint8_t)(bits >> 16);
        out[3 * i + 1] = (uint8_t)(bits >> 8);
        out[3 * i + 2] = (uint8_t)bits;
    }
    if (bad & ~63U)
        return ERR_PARSE;
    memcpy(out + 3 * whole, last, tail_n);
    *ret_n = whole * 3 + tail_n;
    return 0;
}

void hex_encode(const void *bytes, size_t n, char *ret_text)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *p = bytes;

    for (size_t i = 0; i < n; i++) {
        ret_text[2 * i] = digits[p[i] >> 4];
        ret_text[2 * i + 1] = digits[p[i] & 15];
    }
    ret_text[2 * n] = 0;
}

int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int hex_decode(struct str text, void *ret_bytes, size_t n)
{
    uint8_t *out = ret_bytes;

    if (text.n != 2 * n)
        return ERR_PARSE;
    for (size_t i = 0; i < n; i++) {
        int hi = hex_digit(text.p[2 * i]), lo = hex_digit(text.p[2 * i + 1]);

        if (hi < 0 || lo < 0)
            return ERR_PARSE;
        out[i] = (uint8_t)(hi << 4 | lo);
    }
    return 0;
}
