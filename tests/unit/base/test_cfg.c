/* SPDX-License-Identifier: Apache-2.0 */
/* Settings from a table: where they come from, which wins, and what is refused in which words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cfg.h"

enum mode { MODE_SLOW, MODE_FAST };
static const char *const modes[] = {"slow", "fast", NULL};

struct model {
    struct str id;
    int64_t slots;
};

struct settings {
    struct str name;
    int64_t port;
    double ratio;
    bool verbose;
    int mode;
    struct cfg_list origins;
    struct cfg_list tags;
    int64_t old_thing;
    struct model *models;
    size_t n_models;
};

#define AT(field) .offset = offsetof(struct settings, field)

static const struct cfg_key model_rows[] = {
    {.key = "id", .type = CFG_STR, .offset = offsetof(struct model, id), .help = "Its name."},
    {.key = "slots",
     .type = CFG_INT,
     .offset = offsetof(struct model, slots),
     .deflt = "4",
     .min = 1,
     .max = 64,
     .help = "How many at once."},
    {.key = NULL},
};

static const struct cfg_key keys[] = {
    {.key = "name", .flag = "--name", .type = CFG_STR, AT(name), .help = "What it is called."},
    {.key = "server.port",
     .flag = "--port",
     .env = "NEW_PORT",
     .env_old = "OLD_PORT",
     .type = CFG_INT,
     AT(port),
     .deflt = "8080",
     .min = 1,
     .max = 65535,
     .help = "Where it listens."},
    {.key = "ratio",
     .flag = "--ratio",
     .env = "RATIO",
     .type = CFG_FLOAT,
     AT(ratio),
     .deflt = "0.5",
     .min = 0,
     .max = 1,
     .help = "A share."},
    {.key = "verbose",
     .flag = "--verbose",
     .env = "VERBOSE",
     .type = CFG_BOOL,
     AT(verbose),
     .help = "Say more."},
    {.key = "mode",
     .flag = "--mode",
     .type = CFG_ENUM,
     AT(mode),
     .deflt = "slow",
     .choices = modes,
     .help = "How it runs."},
    {.key = "origins",
     .flag = "--origin",
     .env = "ORIGINS",
     .type = CFG_LIST,
     AT(origins),
     .deflt = "a,b",
     .help = "Who may ask."},
    {.key = "tags", .type = CFG_LIST, AT(tags), .help = "Labels."},
    {.key = "old_thing",
     .type = CFG_INT,
     AT(old_thing),
     .min = 0,
     .max = 10,
     .flags = CFG_IGNORED,
     .help = "Only for existing files."},
    {.key = NULL},
};

static const struct cfg_array arrays[] = {
    {.name = "model",
     .rows = model_rows,
     .size = sizeof(struct model),
     .items_offset = offsetof(struct settings, models),
     .count_offset = offsetof(struct settings, n_models)},
    {.name = NULL},
};

static const struct cfg_table table = {.program = "prog", .keys = keys, .arrays = arrays};

/* --- one load: a file, an environment, flags --- */

enum { ARGS_MAX = 12 };

struct fixture {
    struct arena region;
    struct settings s;
    struct err e;
};

struct given {
    const char *toml;
    const char *env[4][2];
    char *args[ARGS_MAX];
};

static const struct given *current; /* getenv takes no context */

static const char *fake_getenv(const char *name)
{
    for (size_t i = 0; i < 4 && current->env[i][0]; i++) {
        if (strcmp(current->env[i][0], name) == 0)
            return current->env[i][1];
    }
    return NULL;
}

static struct cfg_source source(const struct given *g, char *argv[ARGS_MAX + 1])
{
    int argc = 1;

    argv[0] = "prog";
    for (; argc <= ARGS_MAX && g->args[argc - 1]; argc++)
        argv[argc] = g->args[argc - 1];
    current = g;
    return (struct cfg_source){&table, argc, argv, fake_getenv};
}

static int load(struct fixture *f, const struct given *g)
{
    char *argv[ARGS_MAX + 1];
    struct cfg_source src = source(g, argv);

    f->e = (struct err){0};
    return cfg_load(&src, str_from(g->toml), "prog.toml", &f->region, &f->s, &f->e);
}

static int setup(void **state)
{
    static struct fixture f;

    memset(&f, 0xAB, sizeof f); /* cfg_load must not rely on zeroes */
    arena_init(&f.region, 8 << 20);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    arena_free(&((struct fixture *)*state)->region);
    return 0;
}

static void assert_list(struct cfg_list list, size_t n, const char *const *items)
{
    assert_int_equal(list.n, n);
    for (size_t i = 0; i < n; i++)
        assert_string_equal(list.items[i].p, items[i]);
}

/* --- what is set --- */

static void without_anything_given_every_setting_has_its_default(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(load(f, &(struct given){0}), 0);
    assert_null(f->s.name.p);
    assert_int_equal(f->s.port, 8080);
    assert_true(f->s.ratio == 0.5);
    assert_false(f->s.verbose);
    assert_int_equal(f->s.mode, MODE_SLOW);
    assert_list(f->s.origins, 2, (const char *[]){"a", "b"});
    assert_int_equal(f->s.tags.n, 0);
    assert_int_equal(f->s.n_models, 0);
}

static void the_later_source_wins_file_environment_flag(void **state)
{
    static const struct {
        struct given given;
        int64_t port;
    } cases[] = {
        {{.toml = NULL}, 8080},
        {{.toml = "[server]\nport = 1"}, 1},
        {{.toml = "server.port = 1", .env = {{"OLD_PORT", "2"}}}, 2},
        {{.toml = "server.port = 1", .env = {{"OLD_PORT", "2"}, {"NEW_PORT", "3"}}}, 3},
        {{.toml = "server.port = 1", .env = {{"NEW_PORT", "3"}, {"OLD_PORT", "2"}}}, 3},
        {{.env = {{"NEW_PORT", "3"}}, .args = {"--port", "4"}}, 4},
        {{.toml = "server.port = 1", .env = {{"OLD_PORT", "2"}}, .args = {"--port=5"}}, 5},
        {{.args = {"--port", "4", "--port", "6"}}, 6},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(load(f, &cases[i].given), 0);
        assert_int_equal(f->s.port, cases[i].port);
    }
}

static void each_type_is_read_from_file_environment_and_flag(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(load(f, &(struct given){.toml = "name = \"x y\"\nratio = 1\nverbose = true\n"
                                                     "mode = \"fast\"\ntags = [\"p\", \"q\"]"}),
                     0);
    assert_string_equal(f->s.name.p, "x y");
    assert_true(f->s.ratio == 1.0); /* a TOML integer */
    assert_true(f->s.verbose);
    assert_int_equal(f->s.mode, MODE_FAST);
    assert_list(f->s.tags, 2, (const char *[]){"p", "q"});

    assert_int_equal(load(f, &(struct given){.env = {{"RATIO", "0.25"},
                                                     {"VERBOSE", "yes"},
                                                     {"ORIGINS", " x , ,y"}}}),
                     0);
    assert_true(f->s.ratio == 0.25);
    assert_true(f->s.verbose);
    assert_list(f->s.origins, 2, (const char *[]){"x", "y"});

    assert_int_equal(load(f, &(struct given){.toml = "verbose = true",
                                             .args = {"--name=", "--verbose=no", "--mode", "fast",
                                                      "--ratio", "0.75"}}),
                     0);
    assert_string_equal(f->s.name.p, "");
    assert_false(f->s.verbose);
    assert_int_equal(f->s.mode, MODE_FAST);
    assert_true(f->s.ratio == 0.75);
}

static void a_list_replaces_the_list_of_the_source_before_it(void **state)
{
    static const struct {
        struct given given;
        size_t n;
        const char *items[3];
    } cases[] = {
        {{.toml = "origins = [\"c\"]"}, 1, {"c"}},
        {{.toml = "origins = [\"c\", \"d\", \"e\"]"}, 3, {"c", "d", "e"}},
        {{.toml = "origins = []"}, 0, {NULL}},
        {{.toml = "origins = [\"c\"]", .env = {{"ORIGINS", "x,y"}}}, 2, {"x", "y"}},
        {{.toml = "origins = [\"c\"]", .env = {{"ORIGINS", ""}}}, 0, {NULL}},
        {{.env = {{"ORIGINS", "x,y"}}, .args = {"--origin=z"}}, 1, {"z"}},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(load(f, &cases[i].given), 0);
        assert_list(f->s.origins, cases[i].n, cases[i].items);
    }
}

static void the_flag_of_a_list_may_repeat(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(
        load(f, &(struct given){.args = {"--origin", "x,y", "--port=9", "--origin=z"}}), 0);
    assert_list(f->s.origins, 3, (const char *[]){"x", "y", "z"});
}

static void arrays_of_tables_become_structs_with_their_own_defaults(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(load(f, &(struct given){.toml = "[[model]]\nid = \"m0\"\n"
                                                     "[[model]]\nid = \"m1\"\nslots = 9\n"
                                                     "[[model]]\nslots = 1\n"}),
                     0);
    assert_int_equal(f->s.n_models, 3);
    assert_string_equal(f->s.models[0].id.p, "m0");
    assert_int_equal(f->s.models[0].slots, 4);
    assert_string_equal(f->s.models[1].id.p, "m1");
    assert_int_equal(f->s.models[1].slots, 9);
    assert_null(f->s.models[2].id.p);
    assert_int_equal(f->s.models[2].slots, 1);
    assert_int_equal(
        load(f, &(struct given){.toml = "[[model]]\n[[model]]\nid = \"m1\"\nslots = 9\n"}), 0);
    assert_int_equal(f->s.n_models, 2);
    assert_null(f->s.models[0].id.p);
    assert_int_equal(f->s.models[0].slots, 4);
    assert_string_equal(f->s.models[1].id.p, "m1");
    assert_int_equal(f->s.models[1].slots, 9);
}

static void an_ignored_setting_is_accepted_and_still_checked(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(load(f, &(struct given){.toml = "old_thing = 7"}), 0);
    assert_int_equal(load(f, &(struct given){.toml = "old_thing = \"seven\""}), ERR_CONFIG);
    assert_int_equal(load(f, &(struct given){.toml = "old_thing = 11"}), ERR_CONFIG);
}

/* --- what is refused, in which words --- */

static const struct {
    const char *what;
    struct given given;
    int rc;
    const char *names[4]; /* the message contains each of these */
} refused[] = {
    {"below the minimum", {.args = {"--port", "0"}}, ERR_CONFIG, {"--port", "`0`", "1 to 65535"}},
    {"above the maximum",
     {.toml = "\n\nserver.port = 65536"},
     ERR_CONFIG,
     {"prog.toml line 3", "server.port", "65536", "for example 8080"}},
    {"not a number",
     {.env = {{"NEW_PORT", "http"}}},
     ERR_CONFIG,
     {"environment NEW_PORT", "server.port", "`http`"}},
    {"an old name", {.env = {{"OLD_PORT", "-1"}}}, ERR_CONFIG, {"environment OLD_PORT"}},
    {"a number with a tail", {.args = {"--port=80x"}}, ERR_CONFIG, {"80x"}},
    {"nothing", {.args = {"--port="}}, ERR_CONFIG, {"--port"}},
    {"more than 64 bits", {.args = {"--port=99999999999999999999"}}, ERR_CONFIG, {"--port"}},
    {"a float too large", {.toml = "ratio = 1.5"}, ERR_CONFIG, {"ratio", "0 to 1"}},
    {"no number", {.toml = "ratio = nan"}, ERR_CONFIG, {"ratio"}},
    {"no number in text", {.args = {"--ratio", "nan"}}, ERR_CONFIG, {"ratio", "nan"}},
    {"infinity", {.env = {{"RATIO", "inf"}}}, ERR_CONFIG, {"RATIO"}},
    {"a string for a number",
     {.toml = "server.port = \"80\""},
     ERR_CONFIG,
     {"server.port is the string `80`", "a whole number", "without quotes"}},
    {"a float for an integer", {.toml = "server.port = 80.0"}, ERR_CONFIG, {"server.port"}},
    {"a number for a string", {.toml = "name = 5"}, ERR_CONFIG, {"name", "a string"}},
    {"a number for a bool", {.toml = "verbose = 1"}, ERR_CONFIG, {"verbose", "true or false"}},
    {"a word for a bool", {.args = {"--verbose=maybe"}}, ERR_CONFIG, {"--verbose", "maybe"}},
    {"another choice", {.toml = "mode = \"Fast\""}, ERR_CONFIG, {"mode", "slow, fast"}},
    {"a list for a string", {.toml = "name = [\"a\"]"}, ERR_CONFIG, {"name"}},
    {"a string for a list", {.toml = "tags = \"a\""}, ERR_CONFIG, {"tags", "list of strings"}},
    {"a list of numbers", {.toml = "tags = [1, 2]"}, ERR_CONFIG, {"tags"}},
    {"a date", {.toml = "name = 2026-11-24"}, ERR_CONFIG, {"name"}},
    {"in the second model",
     {.toml = "[[model]]\nid = \"a\"\n[[model]]\nslots = 65"},
     ERR_CONFIG,
     {"line 4", "slots", "1 to 64"}},
    {"a typo",
     {.toml = "\nserver.prot = 1"},
     ERR_CONFIG,
     {"prog.toml line 2", "`server.prot`", "did you mean `server.port`"}},
    {"a typo in a model",
     {.toml = "[[model]]\nslot = 1"},
     ERR_CONFIG,
     {"line 2", "`model[0].slot`", "did you mean `slots`"}},
    {"something unheard of",
     {.toml = "[server]\ncolour = 1"},
     ERR_CONFIG,
     {"line 2", "`server.colour`", "--help"}},
    {"a letter beyond ASCII in a name", {.toml = "n\xC3\xA4me = 1"}, ERR_CONFIG, {"line 1"}},
    {"another one", {.toml = "name\xEF\xB7\xB7 = 1"}, ERR_CONFIG, {"line 1"}},
    {"an index with nothing behind it", {.toml = "\"model[0]\" = 1"}, ERR_CONFIG, {"model[0]"}},
    {"an index with nothing but a name behind it",
     {.toml = "\"model[0]id\" = 1"},
     ERR_CONFIG,
     {"model[0]id"}},
    {"more tables than there is memory for",
     {.toml = "\"model[99999999].id\" = 1"},
     ERR_NOMEM,
     {"memory"}},
    {"an index that is none", {.toml = "\"model[00]\" = 1"}, ERR_CONFIG, {"model[00]"}},
    {"a table for an array", {.toml = "[model]\nid = \"a\""}, ERR_CONFIG, {"model.id"}},
    {"bad TOML",
     {.toml = "name = \"a\"\nserver.port = = 2\n"},
     ERR_CONFIG,
     {"prog.toml", "not valid TOML", "line 2"}},
    {"a key twice", {.toml = "name = \"a\"\nname = \"b\""}, ERR_CONFIG, {"line 2"}},
    {"bytes that are not UTF-8", {.toml = "name = \"\xff\""}, ERR_CONFIG, {"line 1"}},
    {"an unknown flag", {.args = {"--prot=1"}}, ERR_USAGE, {"--prot", "prog", "--help"}},
    {"a flag without its value", {.args = {"--port"}}, ERR_USAGE, {"--port", "VALUE"}},
};

static void a_bad_setting_is_refused_in_words_that_say_which_where_and_what_is_allowed(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        int rc = load(f, &refused[i].given);

        if (rc != refused[i].rc || f->e.code != rc)
            fail_msg("%s: %d, code %d, `%s`", refused[i].what, rc, f->e.code, f->e.text);
        for (size_t j = 0; j < 4 && refused[i].names[j]; j++) {
            if (!strstr(f->e.text, refused[i].names[j]))
                fail_msg("%s: `%s` does not name `%s`", refused[i].what, f->e.text,
                         refused[i].names[j]);
        }
    }
}

static void an_error_replaces_what_the_struct_held_and_may_be_left_out(void **state)
{
    struct fixture *f = *state;
    const struct given g = {.args = {"--port", "0"}};
    struct err e = {.code = ERR_IO, .text = "something earlier"};
    char *argv[ARGS_MAX + 1];
    struct cfg_source src = source(&g, argv);

    assert_int_equal(cfg_load(&src, STR(""), "x", &f->region, &f->s, &e), ERR_CONFIG);
    assert_int_equal(e.code, ERR_CONFIG);
    assert_non_null(strstr(e.text, "--port"));
    assert_int_equal(cfg_load(&src, STR(""), "x", &f->region, &f->s, NULL), ERR_CONFIG);
    assert_int_equal(cfg_load(&src, STR("= ="), "x", &f->region, &f->s, NULL), ERR_CONFIG);
}

static void a_region_that_is_full_is_reported_not_overrun(void **state)
{
    struct fixture *f = *state;
    const struct given g = {.toml = "tags = [\"0123456789012345678901234567890123456789\"]"};

    arena_free(&f->region);
    arena_init(&f->region, 64); /* holds the defaults' list, no more */
    assert_int_equal(load(f, &g), ERR_NOMEM);
    assert_int_equal(f->e.code, ERR_NOMEM);
}

/* --- the command line --- */

static void the_flags_of_every_program_are_told_from_settings_and_the_rest(void **state)
{
    static const struct given g = {.args = {"--port", "1", "--config", "a.toml", "--verbose",
                                            "--help", "sub", "--port", "-x"}};
    struct fixture *f = *state;
    char *argv[ARGS_MAX + 1];
    struct cfg_source src = source(&g, argv);
    struct cfg_args args;

    assert_int_equal(cfg_parse_args(&src, &f->region, &args, &f->e), 0);
    assert_true(str_is(args.file, "a.toml"));
    assert_true(args.help);
    assert_false(args.version);
    assert_false(args.check_config);
    assert_list(args.rest, 3, (const char *[]){"sub", "--port", "-x"});
}

static void arguments_that_are_wrong_leave_the_result_alone(void **state)
{
    static const struct given cases[] = {{.args = {"--nope"}},
                                         {.args = {"-x"}},
                                         {.args = {"--config"}},
                                         {.args = {"--version", "--port"}}};
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *argv[ARGS_MAX + 1];
        struct cfg_source src = source(&cases[i], argv);
        struct cfg_args args = {.help = true};

        assert_int_equal(cfg_parse_args(&src, &f->region, &args, &f->e), ERR_USAGE);
        assert_true(args.help);
        assert_false(args.version);
    }
}

static void help_shows_each_setting_that_has_an_effect(void **state)
{
    static const char *const shown[] = {
        "server.port, --port", "Where it listens.", "Default: 8080",    "Environment: NEW_PORT",
        "slow, fast",          "[[model]]",         "How many at once."};
    char text[8192];
    int ends[2];
    ssize_t n;

    (void)state;
    assert_int_equal(pipe(ends), 0);
    cfg_help(&table, ends[1]);
    close(ends[1]);
    n = read(ends[0], text, sizeof text - 1);
    close(ends[0]);
    assert_true(n > 0);
    text[n] = 0;
    for (size_t i = 0; i < sizeof shown / sizeof shown[0]; i++)
        assert_non_null(strstr(text, shown[i]));
    assert_null(strstr(text, "old_thing"));
}

/* --- the file --- */

static void a_file_is_read_and_a_missing_or_huge_one_is_named(void **state)
{
    struct fixture *f = *state;
    const struct given g = {.toml = NULL};
    char path[] = "/tmp/darkbloom-test-cfg-XXXXXX";
    char *argv[ARGS_MAX + 1];
    struct cfg_source src = source(&g, argv);
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    assert_true(dprintf(fd, "server.port = 77\n") > 0);
    assert_int_equal(cfg_load_file(&src, path, &f->region, &f->s, &f->e), 0);
    assert_int_equal(f->s.port, 77);
    assert_int_equal(ftruncate(fd, (1 << 20) + 1), 0);
    assert_int_equal(cfg_load_file(&src, path, &f->region, &f->s, &f->e), ERR_CONFIG);
    assert_non_null(strstr(f->e.text, path));
    assert_non_null(strstr(f->e.text, "larger"));
    close(fd);
    unlink(path);
    assert_int_equal(cfg_load_file(&src, path, &f->region, &f->s, &f->e), ERR_CONFIG);
    assert_non_null(strstr(f->e.text, path));
}

static void what_is_no_regular_file_is_refused_without_waiting_for_it(void **state)
{
    struct fixture *f = *state;
    const struct given g = {.toml = NULL};
    char dir[] = "/tmp/darkbloom-test-cfg-XXXXXX", fifo[64];
    char *argv[ARGS_MAX + 1];
    struct cfg_source src = source(&g, argv);

    assert_non_null(mkdtemp(dir));
    (void)snprintf(fifo, sizeof fifo, "%s/fifo", dir);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_int_equal(cfg_load_file(&src, fifo, &f->region, &f->s, &f->e), ERR_CONFIG);
    assert_non_null(strstr(f->e.text, "not a regular file"));
    assert_int_equal(cfg_load_file(&src, dir, &f->region, &f->s, &f->e), ERR_CONFIG);
    assert_non_null(strstr(f->e.text, dir));
    unlink(fifo);
    rmdir(dir);
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(without_anything_given_every_setting_has_its_default),
        T(the_later_source_wins_file_environment_flag),
        T(each_type_is_read_from_file_environment_and_flag),
        T(a_list_replaces_the_list_of_the_source_before_it),
        T(the_flag_of_a_list_may_repeat),
        T(arrays_of_tables_become_structs_with_their_own_defaults),
        T(an_ignored_setting_is_accepted_and_still_checked),
        T(a_bad_setting_is_refused_in_words_that_say_which_where_and_what_is_allowed),
        T(an_error_replaces_what_the_struct_held_and_may_be_left_out),
        T(a_region_that_is_full_is_reported_not_overrun),
        T(the_flags_of_every_program_are_told_from_settings_and_the_rest),
        T(arguments_that_are_wrong_leave_the_result_alone),
        T(help_shows_each_setting_that_has_an_effect),
        T(a_file_is_read_and_a_missing_or_huge_one_is_named),
        T(what_is_no_regular_file_is_refused_without_waiting_for_it),
    };

    return cmocka_run_group_tests_name("cfg", tests, NULL, NULL);
}
