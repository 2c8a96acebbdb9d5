/* SPDX-License-Identifier: Apache-2.0 */
/* Settings that were given but have no effect: whoever set them should hear of it. */
#include "base/cfg_value.h"

/* A field of any type, as the settings struct holds it. */
union cfg_field {
    struct str text;
    int64_t number;
    double real;
    bool flag;
    int choice;
    struct cfg_list list;
};

static bool cfg_is_default(const struct cfg_key *key, const void *settings, struct arena *region)
{
    struct cfg_key alone = *key;
    union cfg_field deflt = {0};

    alone.offset = 0;
    if (key->deflt && cfg_set_text(&alone, str_from(key->deflt), (struct cfg_origin){"default", 0},
                                   region, &deflt, NULL) < 0)
        return true; /* a default is checked when the settings are loaded */
    return cfg_same(key->type, (const char *)settings + key->offset, &deflt);
}

bool cfg_has_effect(const struct cfg_key *rows)
{
    while (rows->key && rows->flags & CFG_IGNORED)
        rows++;
    return rows->key != NULL;
}

void cfg_each_ignored(const struct cfg_table *table, const void *settings, struct arena *region,
                      cfg_ignored_cb *found, void *ud)
{
    for (const struct cfg_key *key = table->keys; key->key; key++) {
        if (key->flags & CFG_IGNORED && !cfg_is_default(key, settings, region))
            found(ud, key->key, key->help);
    }
    for (const struct cfg_array *a = table->arrays; a && a->name; a++) {
        if (*(const size_t *)(const void *)((const char *)settings + a->count_offset) > 0 &&
            !cfg_has_effect(a->rows))
            found(ud, a->name, "It has no effect in this version.");
    }
}
