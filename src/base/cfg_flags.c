/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cfg_flags.h"

#include <stdio.h>
#include <unistd.h>

#include "base/cfg_value.h"

/* One argument, split: "--port=80" and "--port 80" alike. */
struct flag {
    struct str name;           /* "--port" */
    const struct cfg_key *key; /* NULL: one of the four that every program has */
    struct str value;          /* .p NULL: none given */
};

static const char *const common_with_value[] = {"--config", NULL};
static const char *const common_plain[] = {"--help", "-h", "--version", "--check-config", NULL};

static bool cfg_listed(const char *const *names, struct str name)
{
    for (; *names; names++) {
        if (str_is(name, *names))
            return true;
    }
    return false;
}

static const struct cfg_key *cfg_key_of_flag(const struct cfg_table *t, struct str name)
{
    for (const struct cfg_key *key = t->keys; key->key; key++) {
        if (key->flag && str_is(name, key->flag))
            return key;
    }
    return NULL;
}

/* The flag at argument *at, which moves behind it. 1, 0 where flags end, or ERR_USAGE. */
static int cfg_next_flag(const struct cfg_source *src, int *at, struct flag *ret_flag,
                         struct err *ret_err)
{
    struct str arg = *at < src->argc ? str_from(src->argv[*at]) : (struct str){0};
    struct flag f = {.name = arg};
    const char *equals;
    bool wants_value;

    if (arg.n < 2 || arg.p[0] != '-')
        return 0;
    equals = memchr(arg.p, '=', arg.n);
    if (equals) {
        f.name.n = (size_t)(equals - arg.p);
        f.value = (struct str){equals + 1, arg.n - f.name.n - 1};
    }
    f.key = cfg_key_of_flag(src->table, f.name);
    if (!f.key && !cfg_listed(common_plain, f.name) && !cfg_listed(common_with_value, f.name))
        return err_set(ret_err, ERR_USAGE, "%.*s is not a flag of %s; --help lists them",
                       STR_ARG(f.name), src->table->program);
    ++*at;
    wants_value = f.key ? f.key->type != CFG_BOOL : cfg_listed(common_with_value, f.name);
    if (wants_value && !equals) {
        if (*at >= src->argc)
            return err_set(ret_err, ERR_USAGE, "%.*s needs a value: %.*s VALUE", STR_ARG(f.name),
                           STR_ARG(f.name));
        f.value = str_from(src->argv[(*at)++]);
    }
    *ret_flag = f;
    return 1;
}

static void cfg_note_common(const struct flag *f, struct cfg_args *args)
{
    if (str_is(f->name, "--config"))
        args->file = f->value;
    args->help |= str_is(f->name, "--help") || str_is(f->name, "-h");
    args->version |= str_is(f->name, "--version");
    args->check_config |= str_is(f->name, "--check-config");
}

int cfg_parse_args(const struct cfg_source *src, struct arena *region, struct cfg_args *ret_args,
                   struct err *ret_err)
{
    struct cfg_args args = {0};
    struct flag f = {0};
    int i = 1, rc;

    while ((rc = cfg_next_flag(src, &i, &f, ret_err)) > 0) {
        if (!f.key)
            cfg_note_common(&f, &args);
    }
    if (rc < 0)
        return rc;
    for (; i < src->argc; i++) {
        if (cfg_list_add(&args.rest, str_from(src->argv[i]), region) < 0)
            return ERR_NOMEM;
    }
    *ret_args = args;
    return 0;
}

/* Whether a flag before argument `at` set the same setting. */
static bool cfg_given_before(const struct cfg_source *src, int at, const struct cfg_key *key)
{
    struct flag f = {0};
    int i = 1;

    while (i < at && cfg_next_flag(src, &i, &f, NULL) > 0) {
        if (f.key == key)
            return true;
    }
    return false;
}

static int cfg_apply_flag(const struct cfg_source *src, int at, const struct flag *f,
                          struct arena *region, void *settings, struct err *ret_err)
{
    struct str value = f->value.p ? f->value : STR("true");
    char name[64];

    if (f->key->type == CFG_LIST && cfg_given_before(src, at, f->key))
        return cfg_list_add_text((void *)((char *)settings + f->key->offset), value, region);
    snprintf(name, sizeof name, "%.*s", STR_ARG(f->name));
    return cfg_set_text(f->key, value, (struct cfg_origin){name, 0}, region, settings, ret_err);
}

int cfg_apply_flags(const struct cfg_source *src, struct arena *region, void *settings,
                    struct err *ret_err)
{
    struct flag f = {0};
    int i = 1, at = i, rc;

    while ((rc = cfg_next_flag(src, &i, &f, ret_err)) > 0) {
        rc = f.key ? cfg_apply_flag(src, at, &f, region, settings, ret_err) : 0;
        if (rc < 0)
            break;
        at = i;
    }
    return rc;
}

static void cfg_help_common(int fd)
{
    static const struct {
        const char *flag, *help;
    } rows[] = {{"--config FILE", "Read settings from a TOML file."},
                {"--check-config", "Say whether the settings are good, and end."},
                {"--version", "Print the version, and end."},
                {"--help", "Print this, and end."}};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        dprintf(fd, "  %-46s %s\n", rows[i].flag, rows[i].help);
}

static void cfg_help_key(const struct cfg_key *key, int fd)
{
    char left[64];

    snprintf(left, sizeof left, "%s%s%s", key->key, key->flag ? ", " : "",
             key->flag ? key->flag : "");
    dprintf(fd, "  %-46s %s", left, key->help);
    if (key->deflt && key->deflt[0])
        dprintf(fd, " Default: %s.", key->deflt);
    if (key->env)
        dprintf(fd, " Environment: %s.", key->env);
    for (size_t i = 0; key->choices && key->choices[i]; i++)
        dprintf(fd, "%s %s", i ? "," : " One of:", key->choices[i]);
    dprintf(fd, key->choices ? ".\n" : "\n");
}

void cfg_help(const struct cfg_table *table, int fd)
{
    cfg_help_common(fd);
    for (const struct cfg_key *key = table->keys; key->key; key++) {
        if (!(key->flags & CFG_IGNORED))
            cfg_help_key(key, fd);
    }
    for (const struct cfg_array *a = table->arrays; a && a->name; a++) {
        if (!cfg_has_effect(a->rows))
            continue;
        dprintf(fd, "  [[%s]], any number of:\n", a->name);
        for (const struct cfg_key *key = a->rows; key->key; key++)
            dprintf(fd, "    %-44s %s\n", key->key, key->help);
    }
}
