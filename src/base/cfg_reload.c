/* SPDX-License-Identifier: Apache-2.0 */
/* Settings that were loaded again: what differs, and what of it may be taken. */
#include "base/cfg_value.h"

size_t cfg_size(enum cfg_type type)
{
    static const size_t sizes[] = {
        [CFG_STR] = sizeof(struct str), [CFG_INT] = sizeof(int64_t),
        [CFG_FLOAT] = sizeof(double),   [CFG_BOOL] = sizeof(bool),
        [CFG_ENUM] = sizeof(int),       [CFG_LIST] = sizeof(struct cfg_list)};

    return sizes[type];
}

static bool cfg_same_lists(const struct cfg_list *a, const struct cfg_list *b)
{
    for (size_t i = 0; i < a->n && a->n == b->n; i++) {
        if (!str_eq(a->items[i], b->items[i]))
            return false;
    }
    return a->n == b->n;
}

bool cfg_same(enum cfg_type type, const void *a, const void *b)
{
    if (type == CFG_STR)
        return str_eq(*(const struct str *)a, *(const struct str *)b);
    return type == CFG_LIST ? cfg_same_lists(a, b) : memcmp(a, b, cfg_size(type)) == 0;
}

static const void *cfg_field_at(const void *base, size_t offset)
{
    return (const char *)base + offset;
}

static bool cfg_same_rows(const struct cfg_key *rows, const void *a, const void *b)
{
    for (; rows->key; rows++) {
        if (!cfg_same(rows->type, cfg_field_at(a, rows->offset), cfg_field_at(b, rows->offset)))
            return false;
    }
    return true;
}

static bool cfg_same_array(const struct cfg_array *array, const void *a, const void *b)
{
    size_t n = *(const size_t *)cfg_field_at(a, array->count_offset);
    const char *rows_a = *(const char *const *)cfg_field_at(a, array->items_offset);
    const char *rows_b = *(const char *const *)cfg_field_at(b, array->items_offset);

    if (*(const size_t *)cfg_field_at(b, array->count_offset) != n)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (!cfg_same_rows(array->rows, rows_a + i * array->size, rows_b + i * array->size))
            return false;
    }
    return true;
}

void cfg_each_change(const struct cfg_table *table, const void *old, const void *fresh,
                     cfg_change_cb *found, void *ud)
{
    for (const struct cfg_key *k = table->keys; k->key; k++) {
        if (!cfg_same(k->type, cfg_field_at(old, k->offset), cfg_field_at(fresh, k->offset)))
            found(ud, k->key, (k->flags & CFG_RELOADABLE) != 0);
    }
    for (const struct cfg_array *a = table->arrays; a && a->name; a++) {
        if (!cfg_same_array(a, old, fresh))
            found(ud, a->name, (a->flags & CFG_RELOADABLE) != 0);
    }
}

void cfg_keep_fixed(const struct cfg_table *table, const void *old, void *fresh)
{
    for (const struct cfg_key *k = table->keys; k->key; k++) {
        if (!(k->flags & CFG_RELOADABLE))
            memcpy((char *)fresh + k->offset, cfg_field_at(old, k->offset), cfg_size(k->type));
    }
    for (const struct cfg_array *a = table->arrays; a && a->name; a++) {
        if (a->flags & CFG_RELOADABLE)
            continue;
        memcpy((char *)fresh + a->items_offset, cfg_field_at(old, a->items_offset), sizeof(void *));
        memcpy((char *)fresh + a->count_offset, cfg_field_at(old, a->count_offset), sizeof(size_t));
    }
}
