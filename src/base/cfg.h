/* SPDX-License-Identifier: Apache-2.0 */
/* Settings from a table (after Valkey's config.c and OpenSSH's servconf.h). One row declares a
 * setting: its TOML key, flag, environment variables, type, bounds, default and help. Loading,
 * --help, --check-config's messages and the reference (`make docs`) all come from the rows.
 *
 * Precedence, later wins: default, TOML file, environment (old name unless empty, then new name),
 * flag. An
 * unknown key in the file, an unknown flag, a wrong type or a value out of bounds is ERR_CONFIG or
 * ERR_USAGE with a text that names the setting, where it was set, the limit and a valid example. */
#ifndef DARKBLOOM_BASE_CFG_H
#define DARKBLOOM_BASE_CFG_H

#include "base/arena.h"
#include "base/err.h"

enum cfg_type {
    CFG_STR,   /* struct str, NUL-terminated in the region */
    CFG_INT,   /* int64_t within [min, max] */
    CFG_FLOAT, /* double within [min, max]; a TOML integer is accepted */
    CFG_BOOL,  /* bool; environment and flag take true/false/1/0/yes/no */
    CFG_ENUM,  /* int: index into `choices` */
    CFG_LIST,  /* struct cfg_list of strings; environment and flag: comma-separated, a flag may
                  repeat */
};

struct cfg_list {
    struct str *items;
    size_t n;
};

enum {
    CFG_IGNORED = 1,   /* read and checked, has no effect here */
    CFG_RELOADABLE = 2 /* may change while the program runs: see cfg_keep_fixed */
};

struct cfg_key {
    const char *key;     /* "server.port"; NULL ends the table */
    const char *flag;    /* "--port" or NULL */
    const char *env;     /* "DARKBLOOM_PORT" or NULL */
    const char *env_old; /* the existing system's name, e.g. "EIGENINFERENCE_PORT", or NULL */
    enum cfg_type type;
    size_t offset;              /* offsetof the field in the settings struct */
    const char *deflt;          /* text form; NULL: zero / empty / unset */
    double min, max;            /* CFG_INT and CFG_FLOAT */
    const char *const *choices; /* CFG_ENUM: NULL-terminated */
    const char *help;           /* one sentence */
    unsigned flags;
};

/* A TOML array of tables, [[name]]: `count` structs of `size` bytes placed in the region. */
struct cfg_array {
    const char *name;           /* "model"; NULL ends the list */
    const struct cfg_key *rows; /* keys relative to the table; flag and env unused */
    size_t size;                /* sizeof one element */
    size_t items_offset;        /* offsetof a pointer to the elements in the settings struct */
    size_t count_offset;        /* offsetof a size_t */
    unsigned flags;             /* CFG_RELOADABLE */
};

struct cfg_table {
    const char *program; /* "darkbloom-coordinator" */
    const struct cfg_key *keys;
    const struct cfg_array *arrays; /* or NULL */
};

/* What was given besides settings. */
struct cfg_args {
    struct str file; /* --config FILE; .p NULL when not given */
    bool help, version, check_config;
    struct cfg_list rest; /* positional arguments and, after the first positional, everything */
};

/* Split argv (argv[0] skipped): flags of the table ("--port 80" or "--port=80"), --config, --help,
 * --version, --check-config; the first positional ends flag parsing. Values are kept for cfg_load.
 */
struct cfg_source {
    const struct cfg_table *table;
    int argc;
    char *const *argv;
    const char *(*getenv)(const char *name); /* injected; NULL: no environment */
};

int cfg_parse_args(const struct cfg_source *src, struct arena *region, struct cfg_args *ret_args,
                   struct err *ret_err);

/* Fill the settings struct `ret_settings` (zeroed by the call) from defaults, `toml` (contents of
 * the file, .p NULL: none; `toml_name` is its name in messages), environment and flags. Strings
 * live in `region`. */
int cfg_load(const struct cfg_source *src, struct str toml, const char *toml_name,
             struct arena *region, void *ret_settings, struct err *ret_err);

/* As cfg_load with the file read from disk (a regular file of at most 1 MiB). */
int cfg_load_file(const struct cfg_source *src, const char *path, struct arena *region,
                  void *ret_settings, struct err *ret_err);

/* Settings part of --help: the flags that every program has, then one row a setting with flag,
 * environment, default and sentence. What has no effect here is left out. */
void cfg_help(const struct cfg_table *table, int fd);

/* Whether one of these keys has an effect here. */
bool cfg_has_effect(const struct cfg_key *rows);

/* Call `found` for each loaded setting that has no effect here (CFG_IGNORED) and differs from its
 * default, and for each array that is there and has none; `why` is the setting's help. */
typedef void cfg_ignored_cb(void *ud, const char *setting, const char *why);
void cfg_each_ignored(const struct cfg_table *table, const void *settings, struct arena *region,
                      cfg_ignored_cb *found, void *ud);

/* Settings loaded a second time. Call `found` for each setting and each array that differs; then
 * put the old values of what may not change while the program runs (no CFG_RELOADABLE) into
 * `fresh`: their strings stay where they are, in the region of `old`. */
typedef void cfg_change_cb(void *ud, const char *setting, bool reloadable);
void cfg_each_change(const struct cfg_table *table, const void *old, const void *fresh,
                     cfg_change_cb *found, void *ud);
void cfg_keep_fixed(const struct cfg_table *table, const void *old, void *fresh);

#endif
