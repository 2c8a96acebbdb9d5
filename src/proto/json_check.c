/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/json_check.h"

#include "base/b64.h"
#include "proto/json_scan.h"

struct json_reader {
    const char *at, *end;
    size_t depth, max_depth;
    size_t base;                                   /* json_after_value leads no further out */
    struct str key;                                /* the last one, still escaped */
    uint64_t is_object[JSON_CHECK_MAX_DEPTH / 64]; /* a bit a level: else it is an array */
    const char *why;
};

static int json_bad(struct json_reader *r, const char *why)
{
    r->why = r->at < r->end ? why : "unexpected end";
    return ERR_PARSE;
}

static void json_skip_space(struct json_reader *r)
{
    while (r->at < r->end && json_is_space(*r->at))
        r->at++;
}

/* --- strings --- */

static bool json_take_hex(struct json_reader *r, unsigned *ret_unit)
{
    unsigned unit = 0;

    for (int i = 0; i < 4; i++) {
        int digit = r->at < r->end ? hex_digit(*r->at) : -1;

        if (digit < 0)
            return false;
        unit = unit << 4 | (unsigned)digit;
        r->at++;
    }
    *ret_unit = unit;
    return true;
}

/* Behind the backslash. A high surrogate must be followed by an escaped low one. */
static int json_check_escape(struct json_reader *r)
{
    unsigned unit = 0, low = 0;

    if (r->at == r->end || !*r->at || !strchr("\"\\/bfnrtu", *r->at))
        return json_bad(r, "invalid escape in a string");
    if (*r->at++ != 'u')
        return 0;
    if (!json_take_hex(r, &unit) || (unit & 0xFC00) == 0xDC00)
        return json_bad(r, "invalid escape in a string");
    if ((unit & 0xFC00) != 0xD800)
        return 0;
    if (r->end - r->at < 2 || r->at[0] != '\\' || r->at[1] != 'u')
        return json_bad(r, "half a surrogate pair in a string");
    r->at += 2;
    if (!json_take_hex(r, &low) || (low & 0xFC00) != 0xDC00)
        return json_bad(r, "half a surrogate pair in a string");
    return 0;
}

/* `at` stands behind the opening quote. */
static int json_check_string(struct json_reader *r)
{
    for (;;) {
        int rc;

        r->at = json_plain_end(r->at, r->end);
        if (r->at == r->end || (unsigned char)*r->at < 0x20)
            return json_bad(r, "a control character in a string");
        if (*r->at++ == '"')
            return 0;
        rc = json_check_escape(r);
        if (rc < 0)
            return rc;
    }
}

/* --- numbers --- */

static size_t json_take_digits(struct json_reader *r)
{
    const char *start = r->at;

    while (r->at < r->end && *r->at >= '0' && *r->at <= '9')
        r->at++;
    return (size_t)(r->at - start);
}

/* The exponent, no further from 0 than a million, whether there is one or not. */
static int json_take_exponent(struct json_reader *r, int64_t *ret_exponent)
{
    enum { FAR = 1000000 };
    int64_t exponent = 0;
    bool negative;

    *ret_exponent = 0;
    if (r->at == r->end || (*r->at != 'e' && *r->at != 'E'))
        return 0;
    r->at++;
    negative = r->at < r->end && *r->at == '-';
    if (r->at < r->end && (*r->at == '-' || *r->at == '+'))
        r->at++;
    if (r->at == r->end || *r->at < '0' || *r->at > '9')
        return json_bad(r, "a number without an exponent's digits");
    for (; r->at < r->end && *r->at >= '0' && *r->at <= '9'; r->at++)
        exponent = exponent < FAR ? exponent * 10 + (*r->at - '0') : exponent;
    *ret_exponent = negative ? -exponent : exponent;
    return 0;
}

/* Whether a double holds digits × 10^exponent: its first digit that is not 0 stands for a power of
 * ten below 308, or for that one and the first 17 digits are not above the largest double's. */
static bool json_is_finite(const char *digits, const char *end, size_t whole, int64_t exponent)
{
    static const char largest[] = "17976931348623157";
    int64_t power = exponent + (int64_t)whole - 1;
    const char *l = largest;

    for (; digits < end && (*digits == '0' || *digits == '.'); digits++)
        power -= *digits == '0';
    if (digits == end || power < 308)
        return true;
    if (power > 308)
        return false;
    for (; digits < end && *l; digits++) {
        if (*digits == '.')
            continue;
        if (*digits != *l)
            return *digits < *l;
        l++;
    }
    return true;
}

static int json_check_number(struct json_reader *r)
{
    const char *start;
    size_t whole;
    int64_t exponent;
    const char *end;

    if (*r->at == '-')
        r->at++;
    start = r->at;
    whole = json_take_digits(r);
    if (whole == 0 || (*start == '0' && whole > 1))
        return json_bad(r, "an invalid number");
    if (r->at < r->end && *r->at == '.') {
        r->at++;
        if (json_take_digits(r) == 0)
            return json_bad(r, "a number without digits behind its point");
    }
    end = r->at;
    if (json_take_exponent(r, &exponent) < 0)
        return ERR_PARSE;
    if ((whole > 308 || exponent > 0) && !json_is_finite(start, end, whole, exponent)) {
        r->why = "a number too large";
        return ERR_PARSE;
    }
    return 0;
}

/* --- values --- */

static int json_check_word(struct json_reader *r, struct str word)
{
    if (!str_starts((struct str){r->at, (size_t)(r->end - r->at)}, word))
        return json_bad(r, "an unknown word");
    r->at += word.n;
    return 0;
}

static int json_check_key(struct json_reader *r)
{
    const char *key;

    json_skip_space(r);
    if (r->at == r->end || *r->at != '"')
        return json_bad(r, "a member's name expected");
    key = ++r->at;
    if (json_check_string(r) < 0)
        return ERR_PARSE;
    r->key = (struct str){key, (size_t)(r->at - key) - 1};
    json_skip_space(r);
    if (r->at == r->end || *r->at != ':')
        return json_bad(r, "a colon expected");
    r->at++;
    return 0;
}

static bool json_in_object(const struct json_reader *r)
{
    return r->is_object[(r->depth - 1) / 64] >> ((r->depth - 1) % 64) & 1;
}

/* Into an object or array, up to its first value. 1: it is empty, and behind us. */
static int json_open(struct json_reader *r, bool object)
{
    uint64_t bit = UINT64_C(1) << (r->depth % 64);

    if (r->depth == r->max_depth)
        return ERR_LIMIT;
    if (object)
        r->is_object[r->depth / 64] |= bit;
    else
        r->is_object[r->depth / 64] &= ~bit;
    r->depth++;
    r->at++;
    json_skip_space(r);
    if (r->at < r->end && *r->at == (object ? '}' : ']')) {
        r->at++;
        r->depth--;
        return 1;
    }
    return object ? json_check_key(r) : 0;
}

/* A value, or an object or array up to the first value in it. 1: a whole value is behind us. */
static int json_check_value(struct json_reader *r)
{
    int rc;

    json_skip_space(r);
    if (r->at == r->end)
        return json_bad(r, "");
    switch (*r->at) {
    case '{':
    case '[':
        return json_open(r, *r->at == '{');
    case '"':
        r->at++;
        rc = json_check_string(r);
        break;
    case 't':
        rc = json_check_word(r, STR("true"));
        break;
    case 'f':
        rc = json_check_word(r, STR("false"));
        break;
    case 'n':
        rc = json_check_word(r, STR("null"));
        break;
    default:
        rc = *r->at == '-' || (*r->at >= '0' && *r->at <= '9') ? json_check_number(r)
                                                               : json_bad(r, "a value expected");
    }
    return rc < 0 ? rc : 1;
}

/* Behind a value: out of what it ends, up to the next one. 1: the value at the base is whole. */
static int json_after_value(struct json_reader *r)
{
    for (; r->depth > r->base; r->depth--) {
        bool object = json_in_object(r);

        json_skip_space(r);
        if (r->at == r->end)
            return json_bad(r, "");
        if (*r->at == ',') {
            r->at++;
            return object ? json_check_key(r) : 0;
        }
        if (*r->at != (object ? '}' : ']'))
            return json_bad(r, object ? "a comma or } expected" : "a comma or ] expected");
        r->at++;
    }
    return 1;
}

/* One value, with all that is in it. */
static int json_check_whole(struct json_reader *r)
{
    int rc = 0;

    while (rc == 0) {
        rc = json_check_value(r);
        if (rc > 0)
            rc = json_after_value(r);
    }
    return rc < 0 ? rc : 0;
}

static int json_check_end(struct json_reader *r)
{
    json_skip_space(r);
    return r->at == r->end ? 0 : json_bad(r, "something behind the value");
}

static int json_start(struct json_reader *r, struct str text, size_t max_depth)
{
    *r = (struct json_reader){.at = text.p, .end = text.p + text.n};
    r->max_depth = max_depth < JSON_CHECK_MAX_DEPTH ? max_depth : JSON_CHECK_MAX_DEPTH;
    if (str_is_utf8(text))
        return 0;
    r->why = "invalid UTF-8";
    return ERR_PARSE;
}

static int json_result(const struct json_reader *r, int rc, const char **ret_why)
{
    if (rc == ERR_PARSE && ret_why)
        *ret_why = r->why;
    return rc;
}

int json_check(struct str text, size_t max_depth, const char **ret_why)
{
    struct json_reader r;
    int rc = json_start(&r, text, max_depth);

    if (rc == 0)
        rc = json_check_whole(&r);
    if (rc == 0)
        rc = json_check_end(&r);
    return json_result(&r, rc, ret_why);
}

/* Inside the outermost object, behind the first member's colon. */
static int json_take_members(struct json_reader *r, struct span_member *members, size_t max,
                             size_t *n)
{
    for (r->base = 1;;) {
        struct str key = r->key;
        const char *value;
        int rc;

        if (*n == max)
            return ERR_RANGE;
        json_skip_space(r);
        value = r->at;
        rc = json_check_whole(r);
        if (rc < 0)
            return rc;
        members[(*n)++] = (struct span_member){.key = key,
                                               .value = {value, (size_t)(r->at - value)},
                                               .whole = {key.p - 1, (size_t)(r->at - key.p) + 1}};
        json_skip_space(r);
        if (r->at < r->end && *r->at == '}') {
            r->at++;
            return 0;
        }
        if (r->at == r->end || *r->at != ',')
            return json_bad(r, "a comma or } expected");
        r->at++;
        rc = json_check_key(r);
        if (rc < 0)
            return rc;
    }
}

int json_check_members(struct str text, size_t max_depth, struct span_member *ret_members,
                       size_t max, size_t *ret_n, const char **ret_why)
{
    struct json_reader r;
    size_t n = 0;
    int rc = json_start(&r, text, max_depth);

    json_skip_space(&r);
    if (rc == 0 && (r.at == r.end || *r.at != '{')) {
        rc = json_check(text, max_depth, ret_why);
        return rc == 0 ? ERR_TYPE : rc;
    }
    if (rc == 0)
        rc = json_open(&r, true);
    if (rc == 0)
        rc = json_take_members(&r, ret_members, max, &n);
    if (rc >= 0)
        rc = json_check_end(&r);
    if (rc == 0)
        *ret_n = n;
    return json_result(&r, rc, ret_why);
}
