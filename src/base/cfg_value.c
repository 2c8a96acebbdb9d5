/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cfg_value.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { SHOWN_BYTES = 60, WHERE_BYTES = 96, RANGE_BYTES = 128 };

static void *cfg_field(const struct cfg_key *key, void *base)
{
    return (char *)base + key->offset;
}

/* "must be a number from 1 to 65535" */
static void cfg_describe(const struct cfg_key *key, char ret_text[static RANGE_BYTES])
{
    size_t n = 0;

    switch (key->type) {
    case CFG_STR:
        snprintf(ret_text, RANGE_BYTES, "a string");
        break;
    case CFG_LIST:
        snprintf(ret_text, RANGE_BYTES, "a list of strings");
        break;
    case CFG_BOOL:
        snprintf(ret_text, RANGE_BYTES, "true or false");
        break;
    case CFG_INT:
        snprintf(ret_text, RANGE_BYTES, "a whole number from %.0f to %.0f", key->min, key->max);
        break;
    case CFG_FLOAT:
        snprintf(ret_text, RANGE_BYTES, "a number from %g to %g", key->min, key->max);
        break;
    case CFG_ENUM:
        n = (size_t)snprintf(ret_text, RANGE_BYTES, "one of");
        for (size_t i = 0; key->choices[i] && n < RANGE_BYTES; i++)
            n += (size_t)snprintf(ret_text + n, RANGE_BYTES - n, "%s %s", i ? "," : "",
                                  key->choices[i]);
        break;
    }
}

/* `quoted`: in the file it is a string where none belongs, e.g. port = "8080". */
static int cfg_refuse_as(const struct cfg_key *key, struct str given, bool quoted,
                         struct cfg_origin from, struct err *ret_err)
{
    char allowed[RANGE_BYTES], where[WHERE_BYTES], example[48] = "";

    cfg_describe(key, allowed);
    if (from.line > 0)
        snprintf(where, sizeof where, "%s line %d", from.what, from.line);
    else
        snprintf(where, sizeof where, "%s", from.what);
    if (key->deflt)
        snprintf(example, sizeof example, "; for example %s", key->deflt);
    return err_set(ret_err, ERR_CONFIG, "%s: %s is %s`%.*s`, but must be %s%s%s", where, key->key,
                   quoted ? "the string " : "",
                   (int)(given.n < SHOWN_BYTES ? given.n : SHOWN_BYTES), given.p ? given.p : "",
                   allowed, quoted ? "; write it without quotes" : "", example);
}

static int cfg_refuse(const struct cfg_key *key, struct str given, struct cfg_origin from,
                      struct err *ret_err)
{
    return cfg_refuse_as(key, given, false, from, ret_err);
}

static int cfg_set_str(const struct cfg_key *key, struct str s, struct arena *region, void *base)
{
    struct str copy = arena_dup(region, s);

    if (!copy.p)
        return ERR_NOMEM;
    *(struct str *)cfg_field(key, base) = copy;
    return 0;
}

static int cfg_find_choice(const struct cfg_key *key, struct str s)
{
    for (int i = 0; key->choices[i]; i++) {
        if (str_is(s, key->choices[i]))
            return i;
    }
    return -1;
}

static int cfg_parse_bool(struct str s, bool *ret_value)
{
    static const struct {
        const char *text;
        bool value;
    } words[] = {{"true", true},   {"1", true},  {"yes", true}, {"on", true},
                 {"false", false}, {"0", false}, {"no", false}, {"off", false}};

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (str_ieq(s, str_from(words[i].text))) {
            *ret_value = words[i].value;
            return 0;
        }
    }
    return ERR_PARSE;
}

static int cfg_parse_double(struct str s, double *ret_value)
{
    char text[64];
    char *end;

    if (s.n == 0 || s.n >= sizeof text)
        return ERR_PARSE;
    memcpy(text, s.p, s.n);
    text[s.n] = 0;
    *ret_value = strtod(text, &end);
    return *end == 0 && isfinite(*ret_value) ? 0 : ERR_PARSE;
}

static bool cfg_within(const struct cfg_key *key, double v)
{
    return v >= key->min && v <= key->max;
}

int cfg_list_add(struct cfg_list *list, struct str item, struct arena *region)
{
    struct str *items = arena_array(region, struct str, list->n + 1);
    struct str copy = arena_dup(region, item);

    if (!items || !copy.p)
        return ERR_NOMEM;
    if (list->n > 0)
        memcpy(items, list->items, list->n * sizeof *items);
    items[list->n] = copy;
    *list = (struct cfg_list){items, list->n + 1};
    return 0;
}

int cfg_list_add_text(struct cfg_list *list, struct str s, struct arena *region)
{
    int rc = 0;

    while (rc == 0 && s.n > 0) {
        const char *comma = memchr(s.p, ',', s.n);
        size_t n = comma ? (size_t)(comma - s.p) : s.n;
        struct str item = str_trim((struct str){s.p, n});

        if (item.n > 0)
            rc = cfg_list_add(list, item, region);
        n += comma ? 1 : 0;
        s = (struct str){s.p + n, s.n - n};
    }
    return rc;
}

int cfg_set_text(const struct cfg_key *key, struct str text, struct cfg_origin from,
                 struct arena *region, void *base, struct err *ret_err)
{
    void *at = cfg_field(key, base);
    int64_t i;
    double f;
    int choice;

    switch (key->type) {
    case CFG_STR:
        return cfg_set_str(key, text, region, base);
    case CFG_LIST:
        *(struct cfg_list *)at = (struct cfg_list){0};
        return cfg_list_add_text(at, text, region);
    case CFG_BOOL:
        return cfg_parse_bool(text, at) == 0 ? 0 : cfg_refuse(key, text, from, ret_err);
    case CFG_INT:
        if (str_to_i64(text, &i) < 0 || !cfg_within(key, (double)i))
            return cfg_refuse(key, text, from, ret_err);
        *(int64_t *)at = i;
        return 0;
    case CFG_FLOAT:
        if (cfg_parse_double(text, &f) < 0 || !cfg_within(key, f))
            return cfg_refuse(key, text, from, ret_err);
        *(double *)at = f;
        return 0;
    case CFG_ENUM:
        choice = cfg_find_choice(key, text);
        if (choice < 0)
            return cfg_refuse(key, text, from, ret_err);
        *(int *)at = choice;
        return 0;
    }
    return ERR_INTERNAL;
}

/* What a TOML value looks like, for messages and for types that share cfg_set_text. */
static struct str cfg_toml_text(const struct toml_value *v, char *scratch, size_t cap)
{
    switch (v->type) {
    case TOML_STR:
    case TOML_ITEM:
        return v->s;
    case TOML_INT:
        snprintf(scratch, cap, "%lld", (long long)v->i);
        break;
    case TOML_FLOAT:
        snprintf(scratch, cap, "%.17g", v->f);
        break;
    case TOML_BOOL:
        snprintf(scratch, cap, "%s", v->b ? "true" : "false");
        break;
    case TOML_EMPTY:
        snprintf(scratch, cap, "[]");
        break;
    case TOML_OTHER:
        snprintf(scratch, cap, "a value of another type");
        break;
    }
    return str_from(scratch);
}

int cfg_set_toml(const struct cfg_key *key, const struct toml_value *v, struct cfg_origin from,
                 struct arena *region, void *base, struct err *ret_err)
{
    static const unsigned fits[] = {
        [CFG_STR] = 1U << TOML_STR,
        [CFG_INT] = 1U << TOML_INT,
        [CFG_FLOAT] = 1U << TOML_INT | 1U << TOML_FLOAT,
        [CFG_BOOL] = 1U << TOML_BOOL,
        [CFG_ENUM] = 1U << TOML_STR,
        [CFG_LIST] = 1U << TOML_ITEM | 1U << TOML_EMPTY,
    };
    char scratch[64];
    struct str text = cfg_toml_text(v, scratch, sizeof scratch);

    if (!(fits[key->type] & 1U << v->type))
        return cfg_refuse_as(key, text, v->type == TOML_STR && key->type != CFG_LIST, from,
                             ret_err);
    if (v->type == TOML_EMPTY || v->first) /* replaces the default */
        *(struct cfg_list *)cfg_field(key, base) = (struct cfg_list){0};
    if (v->type == TOML_EMPTY)
        return 0;
    if (v->type == TOML_ITEM)
        return cfg_list_add(cfg_field(key, base), text, region);
    return cfg_set_text(key, text, from, region, base, ret_err);
}
