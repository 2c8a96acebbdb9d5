/* SPDX-License-Identifier: Apache-2.0 */
#include "provider/engine/schema_check.h"

enum { PATTERN_MAX_DEPTH = 16 };

struct pattern {
    struct str s;
    size_t at;
    int depth;
    long repeats; /* of what stands around the place, multiplied */
    bool item;    /* something stands before that can be repeated */
};

static bool pattern_class(struct pattern *p)
{
    size_t from = ++p->at;

    for (; p->at < p->s.n && p->s.p[p->at] != ']'; p->at++) {
        if (p->s.p[p->at] != '\\')
            continue;
        p->at++;
        if (p->at >= p->s.n || !strchr("trn\\\"[]-", p->s.p[p->at]) || !p->s.p[p->at])
            return false;
    }
    p->item = true;
    return p->at < p->s.n && p->at++ > from;
}

static bool pattern_number(struct pattern *p, long *ret_n)
{
    size_t from = p->at;

    for (*ret_n = 0; p->at < p->s.n && p->s.p[p->at] >= '0' && p->s.p[p->at] <= '9'; p->at++) {
        if (*ret_n <= SCHEMA_MAX_REPEATS)
            *ret_n = *ret_n * 10 + (p->s.p[p->at] - '0');
    }
    return p->at > from;
}

/* {n}, {n,} or {n,m}. */
static bool pattern_count(struct pattern *p)
{
    long least, most;

    p->at++;
    if (!p->item || !pattern_number(p, &least))
        return false;
    most = least;
    if (p->at < p->s.n && p->s.p[p->at] == ',') {
        p->at++;
        if (!pattern_number(p, &most))
            most = least;
    }
    p->repeats *= most > 0 ? most : 1;
    p->item = false;
    return p->at < p->s.n && p->s.p[p->at++] == '}' && most >= least &&
           p->repeats <= SCHEMA_MAX_REPEATS;
}

static bool pattern_open(struct pattern *p)
{
    p->at++;
    if (p->at < p->s.n && p->s.p[p->at] == '?') {
        if (p->at + 1 >= p->s.n || p->s.p[p->at + 1] != ':')
            return false; /* looks ahead or behind, has a name */
        p->at += 2;
    }
    p->item = false;
    return ++p->depth <= PATTERN_MAX_DEPTH;
}

static bool pattern_escape(struct pattern *p)
{
    p->at++;
    if (p->at >= p->s.n || !strchr("^$.[]()|{}*+?\\/-\"trn", p->s.p[p->at]) || !p->s.p[p->at])
        return false;
    p->at++;
    p->item = true;
    return true;
}

static bool pattern_step(struct pattern *p)
{
    char c = p->s.p[p->at];

    if (c == '[')
        return pattern_class(p);
    if (c == '{')
        return pattern_count(p);
    if (c == '(')
        return pattern_open(p);
    if (c == '\\')
        return pattern_escape(p);
    p->at++;
    if (c == ')') {
        p->item = true;
        return p->depth-- > 0;
    }
    if (c == '*' || c == '+' || c == '?') {
        bool item = p->item;

        p->item = false; /* lazy and possessive forms are unknown to the grammar */
        return item;
    }
    p->item = c != '|';
    return c != '^' && c != '$' && c != ']' && c != '}' && (unsigned char)c >= 0x20;
}

bool schema_pattern_ok(struct str pattern)
{
    struct pattern p = {.repeats = 1};

    if (pattern.n < 2 || pattern.n > SCHEMA_MAX_PATTERN_BYTES || pattern.p[0] != '^' ||
        pattern.p[pattern.n - 1] != '$')
        return false;
    p.s = (struct str){pattern.p + 1, pattern.n - 2};
    while (p.at < p.s.n) {
        if (!pattern_step(&p))
            return false;
    }
    return p.depth == 0;
}
