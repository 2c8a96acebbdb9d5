/* SPDX-License-Identifier: Apache-2.0 */
#include "provider/engine/schema_check.h"

#include <yyjson.h>

#include "proto/json_check.h"
#include "proto/json_wiped.h"

struct schema_walk {
    yyjson_val *root;
    bool whole;
    int steps;
    enum engine_wrong wrong;
};

static bool schema_is_wrong(struct schema_walk *w, enum engine_wrong why)
{
    if (w->wrong == ENGINE_WRONG_NONE)
        w->wrong = why;
    return true;
}

/* --- references --- */

/* What "#/…" points at; NULL: nothing, or it points elsewhere. */
static yyjson_val *schema_resolve(const struct schema_walk *w, yyjson_val *ref)
{
    const char *at = yyjson_get_str(ref);

    if (!at || at[0] != '#' || at[1] != '/')
        return NULL;
    return yyjson_ptr_getn(w->root, at + 1, yyjson_get_len(ref) - 1);
}

static const char *const schema_unions[] = {"allOf", "anyOf", "oneOf"};

/* Follow what leads on without a character of the answer between: a chain that comes back never
 * ends. Its steps are counted over the whole schema, which bounds the ways through it too. */
static void schema_follow(struct schema_walk *w, yyjson_val *node, int hops)
{
    yyjson_val *ref = yyjson_obj_get(node, "$ref"), *part;
    yyjson_arr_iter it;

    if (w->wrong != ENGINE_WRONG_NONE)
        return;
    if (hops > SCHEMA_MAX_DEPTH || ++w->steps > SCHEMA_MAX_STEPS) {
        (void)schema_is_wrong(w, ENGINE_WRONG_SCHEMA_REFERENCE);
        return;
    }
    if (ref) {
        yyjson_val *target = schema_resolve(w, ref);

        if (!target)
            (void)schema_is_wrong(w, ENGINE_WRONG_SCHEMA_REFERENCE);
        else
            schema_follow(w, target, hops + 1);
    }
    for (size_t i = 0; i < sizeof schema_unions / sizeof schema_unions[0]; i++) {
        yyjson_arr_iter_init(yyjson_obj_get(node, schema_unions[i]), &it);
        while ((part = yyjson_arr_iter_next(&it)))
            schema_follow(w, part, hops + 1);
    }
}

/* --- one node --- */

static bool schema_has_unknown_word(yyjson_val *node)
{
    static const char *const words[] = {"not",
                                        "if",
                                        "then",
                                        "else",
                                        "patternProperties",
                                        "propertyNames",
                                        "dependentRequired",
                                        "dependentSchemas",
                                        "contains",
                                        "uniqueItems",
                                        "multipleOf",
                                        "minProperties",
                                        "maxProperties",
                                        "unevaluatedProperties",
                                        "unevaluatedItems"};

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (yyjson_obj_get(node, words[i]))
            return true;
    }
    return false;
}

/* What a node multiplies the length of its parts by; 0: it is out of bounds. */
static int64_t schema_repeats(yyjson_val *node)
{
    static const char *const words[] = {"minItems", "maxItems", "minLength", "maxLength"};
    int64_t most = 1;

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        yyjson_val *v = yyjson_obj_get(node, words[i]);
        double n = yyjson_get_num(v);

        if (v && (!yyjson_is_num(v) || !(n >= 0 && n <= SCHEMA_MAX_REPEATS)))
            return 0;
        most = v && (int64_t)n > most ? (int64_t)n : most;
    }
    return most;
}

static bool schema_pattern_is_wrong(yyjson_val *node)
{
    yyjson_val *p = yyjson_obj_get(node, "pattern");

    return p && (!yyjson_is_str(p) ||
                 !schema_pattern_ok((struct str){yyjson_get_str(p), yyjson_get_len(p)}));
}

static bool schema_node_is_wrong(struct schema_walk *w, yyjson_val *node, int64_t repeats)
{
    if (repeats <= 0 || repeats > SCHEMA_MAX_REPEATS)
        return schema_is_wrong(w, ENGINE_WRONG_SCHEMA_REPEATS);
    if (yyjson_obj_size(yyjson_obj_get(node, "properties")) > SCHEMA_MAX_PROPERTIES)
        return schema_is_wrong(w, ENGINE_WRONG_SCHEMA_SIZE);
    if (schema_pattern_is_wrong(node))
        return schema_is_wrong(w, ENGINE_WRONG_SCHEMA_PATTERN);
    if (w->whole && schema_has_unknown_word(node))
        return schema_is_wrong(w, ENGINE_WRONG_SCHEMA_WORD);
    schema_follow(w, node, 0);
    return w->wrong != ENGINE_WRONG_NONE;
}

/* --- all nodes --- */

static void schema_walk(struct schema_walk *w, yyjson_val *node, int64_t repeats);

/* The values of an object or an array are schemas. */
static void schema_walk_values(struct schema_walk *w, yyjson_val *values, int64_t repeats)
{
    yyjson_obj_iter members;
    yyjson_arr_iter parts;
    yyjson_val *v;

    if (yyjson_obj_iter_init(values, &members)) {
        while ((v = yyjson_obj_iter_next(&members)))
            schema_walk(w, yyjson_obj_iter_get_val(v), repeats);
    } else if (yyjson_arr_iter_init(values, &parts)) {
        while ((v = yyjson_arr_iter_next(&parts)))
            schema_walk(w, v, repeats);
    }
}

/* As deep as the schema, which was checked. */
static void schema_walk(struct schema_walk *w, yyjson_val *node, int64_t repeats)
{
    static const struct {
        const char *word;
        bool many; /* schemas by name or number; else one */
    } places[] = {{"properties", true},  {"$defs", true},  {"definitions", true},
                  {"prefixItems", true}, {"allOf", true},  {"anyOf", true},
                  {"oneOf", true},       {"items", false}, {"additionalProperties", false}};
    int64_t own;

    if (!yyjson_is_obj(node) || w->wrong != ENGINE_WRONG_NONE)
        return;
    own = schema_repeats(node);
    if (schema_node_is_wrong(w, node, own * repeats))
        return;
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        yyjson_val *v = yyjson_obj_get(node, places[i].word);

        if (places[i].many || yyjson_is_arr(v))
            schema_walk_values(w, v, own * repeats);
        else
            schema_walk(w, v, own * repeats);
    }
}

enum engine_wrong schema_check(struct str schema, bool whole)
{
    yyjson_alc alc = json_wiped_alc();
    struct schema_walk w = {.whole = whole};
    yyjson_doc *doc;
    int rc;

    if (schema.n > SCHEMA_MAX_BYTES)
        return ENGINE_WRONG_SCHEMA_SIZE;
    rc = json_check(schema, SCHEMA_MAX_DEPTH, NULL);
    if (rc < 0)
        return rc == ERR_LIMIT ? ENGINE_WRONG_SCHEMA_DEPTH : ENGINE_WRONG_SCHEMA;
    doc = yyjson_read_opts((char *)schema.p, schema.n, 0, &alc, NULL);
    if (!doc)
        return ENGINE_WRONG_SCHEMA;
    w.root = yyjson_doc_get_root(doc);
    if (yyjson_doc_get_val_count(doc) > SCHEMA_MAX_VALUES)
        w.wrong = ENGINE_WRONG_SCHEMA_SIZE;
    schema_walk(&w, w.root, 1);
    yyjson_doc_free(doc);
    return w.wrong;
}
