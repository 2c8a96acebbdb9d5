/* SPDX-License-Identifier: Apache-2.0 */
/* Loading: defaults, file, environment, flags, each over the one before. */
#include "base/cfg.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cfg_flags.h"
#include "base/cfg_value.h"

enum { FILE_MAX_BYTES = 1 << 20, TYPO_DISTANCE = 2 };

struct load {
    const struct cfg_source *src;
    const char *toml_name;
    struct arena *region;
    void *settings;
    struct err *e;
};

static const struct cfg_key *cfg_find_key(const struct cfg_key *keys, struct str name)
{
    for (; keys->key; keys++) {
        if (str_is(name, keys->key))
            return keys;
    }
    return NULL;
}

/* --- unknown keys --- */

static int cfg_unknown_key(const struct load *l, const struct cfg_key *keys,
                           const struct toml_value *v, struct str name)
{
    const struct cfg_key *nearest = NULL;
    size_t best = TYPO_DISTANCE + 1;

    for (; keys->key; keys++) {
        size_t d = str_distance(name, str_from(keys->key));

        if (d < best) {
            best = d;
            nearest = keys;
        }
    }
    if (nearest)
        return err_set(l->e, ERR_CONFIG,
                       "%s line %d: there is no setting `%.*s`; did you mean `%s`?", l->toml_name,
                       v->line, STR_ARG(v->path), nearest->key);
    return err_set(l->e, ERR_CONFIG,
                   "%s line %d: there is no setting `%.*s`; --help lists those there are",
                   l->toml_name, v->line, STR_ARG(v->path));
}

/* --- arrays of tables --- */

/* "model[2].id" → index 2 and "id", when the array is called "model". */
static bool cfg_split_index(struct str path, const char *array, size_t *ret_index,
                            struct str *ret_rest)
{
    struct str name = str_from(array);
    struct str rest;
    const char *close;
    int64_t index;

    if (!str_starts(path, name) || path.n < name.n + 4 || path.p[name.n] != '[')
        return false;
    rest = (struct str){path.p + name.n + 1, path.n - name.n - 1};
    close = memchr(rest.p, ']', rest.n);
    if (!close || close + 1 == path.p + path.n || close[1] != '.' ||
        str_to_i64((struct str){rest.p, (size_t)(close - rest.p)}, &index) < 0 || index < 0)
        return false;
    *ret_index = (size_t)index;
    *ret_rest = (struct str){close + 2, rest.n - (size_t)(close - rest.p) - 2};
    return true;
}

static int cfg_set_defaults(const struct cfg_key *keys, struct load *l, void *base)
{
    for (; keys->key; keys++) {
        int rc = keys->deflt
                     ? cfg_set_text(keys, str_from(keys->deflt), (struct cfg_origin){"default", 0},
                                    l->region, base, l->e)
                     : 0;

        if (rc < 0)
            return rc;
    }
    return 0;
}

static int cfg_add_element(const struct cfg_array *a, struct load *l)
{
    char **items = (char **)((char *)l->settings + a->items_offset);
    size_t *count = (size_t *)((char *)l->settings + a->count_offset);
    char *grown = arena_array_bytes(l->region, a->size, *count + 1);

    if (!grown)
        return ERR_NOMEM;
    if (*count > 0)
        memcpy(grown, *items, *count * a->size);
    *items = grown;
    return cfg_set_defaults(a->rows, l, grown + (*count)++ * a->size);
}

/* The element at `index`. Those before it that hold nothing were not seen yet. */
static void *cfg_element(const struct cfg_array *a, size_t index, struct load *l)
{
    const size_t *count = (const size_t *)((char *)l->settings + a->count_offset);

    while (*count <= index) {
        if (cfg_add_element(a, l) < 0)
            return NULL;
    }
    return *(char **)((char *)l->settings + a->items_offset) + index * a->size;
}

/* --- the file --- */

static int cfg_on_toml_value(void *ud, const struct toml_value *v)
{
    struct load *l = ud;
    const struct cfg_table *t = l->src->table;
    const struct cfg_key *keys = t->keys;
    void *base = l->settings;
    struct str name = v->path;
    const struct cfg_key *key;

    for (const struct cfg_array *a = t->arrays; a && a->name; a++) {
        size_t index;

        if (cfg_split_index(v->path, a->name, &index, &name)) {
            keys = a->rows;
            base = cfg_element(a, index, l);
            if (!base)
                return err_set(l->e, ERR_NOMEM, "out of memory while reading the settings");
        }
    }
    key = cfg_find_key(keys, name);
    if (!key)
        return cfg_unknown_key(l, keys, v, name);
    return cfg_set_toml(key, v, (struct cfg_origin){l->toml_name, v->line}, l->region, base, l->e);
}

/* --- environment --- */

static int cfg_set_env(struct load *l, const struct cfg_key *key, const char *name)
{
    const char *value = name && l->src->getenv ? l->src->getenv(name) : NULL;
    char where[128];

    if (!value)
        return 0;
    snprintf(where, sizeof where, "environment %s", name);
    return cfg_set_text(key, str_from(value), (struct cfg_origin){where, 0}, l->region, l->settings,
                        l->e);
}

/* The existing system takes an empty variable for one that is not set. */
static int cfg_set_env_old(struct load *l, const struct cfg_key *key)
{
    const char *value = key->env_old && l->src->getenv ? l->src->getenv(key->env_old) : NULL;

    return value && value[0] ? cfg_set_env(l, key, key->env_old) : 0;
}

static int cfg_apply_env(struct load *l)
{
    for (const struct cfg_key *key = l->src->table->keys; key->key; key++) {
        int rc = cfg_set_env_old(l, key);

        if (rc == 0)
            rc = cfg_set_env(l, key, key->env);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* --- all together --- */

static void cfg_zero_settings(const struct cfg_table *t, void *settings)
{
    for (const struct cfg_key *key = t->keys; key->key; key++)
        memset((char *)settings + key->offset, 0, cfg_size(key->type));
    for (const struct cfg_array *a = t->arrays; a && a->name; a++) {
        memset((char *)settings + a->items_offset, 0, sizeof(void *));
        memset((char *)settings + a->count_offset, 0, sizeof(size_t));
    }
}

int cfg_load(const struct cfg_source *src, struct str toml, const char *toml_name,
             struct arena *region, void *ret_settings, struct err *ret_err)
{
    struct err e = {0};
    struct load l = {src, toml_name, region, ret_settings, &e};
    int rc;

    cfg_zero_settings(src->table, ret_settings);
    rc = cfg_set_defaults(src->table->keys, &l, ret_settings);
    if (rc == 0 && toml.p)
        rc = toml_walk(toml, cfg_on_toml_value, &l, &e);
    if (rc == ERR_PARSE)
        return err_set(ret_err, ERR_CONFIG, "%s is not valid TOML: %s", toml_name, e.text);
    if (rc == 0)
        rc = cfg_apply_env(&l);
    if (rc == 0)
        rc = cfg_apply_flags(src, region, ret_settings, &e);
    if (rc < 0 && !e.code)
        (void)err_set(&e, rc, "%s: %s", toml_name ? toml_name : "the settings", err_str(rc));
    if (rc < 0 && ret_err)
        *ret_err = e;
    return rc;
}

/* A pipe or a device would be waited for, or never end. */
static int cfg_open_regular(const char *path, int *ret_fd, struct err *ret_err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0) {
        int saved = errno;

        if (fd >= 0)
            close(fd);
        return err_errno(ret_err, ERR_CONFIG, saved, "cannot read the settings file %s", path);
    }
    if (!S_ISREG(st.st_mode)) {
        close(fd);
        return err_set(ret_err, ERR_CONFIG,
                       "cannot read the settings file %s: it is not a regular file", path);
    }
    *ret_fd = fd;
    return 0;
}

int cfg_load_file(const struct cfg_source *src, const char *path, struct arena *region,
                  void *ret_settings, struct err *ret_err)
{
    char *text = arena_alloc(region, FILE_MAX_BYTES + 1);
    size_t n = 0;
    ssize_t got = 0;
    int fd = -1;
    int rc = cfg_open_regular(path, &fd, ret_err);

    if (rc < 0)
        return rc;
    while (text && n <= FILE_MAX_BYTES && (got = read(fd, text + n, FILE_MAX_BYTES + 1 - n)) > 0)
        n += (size_t)got;
    close(fd);
    if (!text)
        return err_set(ret_err, ERR_NOMEM, "out of memory while reading %s", path);
    if (got < 0)
        return err_errno(ret_err, ERR_CONFIG, errno, "cannot read the settings file %s", path);
    if (n > FILE_MAX_BYTES)
        return err_set(ret_err, ERR_CONFIG, "%s is larger than %d bytes", path, FILE_MAX_BYTES);
    return cfg_load(src, (struct str){text, n}, path, region, ret_settings, ret_err);
}
