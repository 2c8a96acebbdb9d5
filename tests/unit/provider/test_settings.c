/* SPDX-License-Identifier: Apache-2.0 */
/* The provider's settings: files of the existing provider load, ours mean what they say, and what
 * cannot work is refused with the way out. Also where files are looked for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "provider/paths.h"
#include "provider/settings.h"

static const char *no_env(const char *name)
{
    (void)name;
    return NULL;
}

static int load(struct arena *region, const char *toml, char *const *argv, int argc,
                struct provider_settings *ret_settings, struct err *ret_err)
{
    struct cfg_source src = {
        .table = &provider_settings_table, .argc = argc, .argv = argv, .getenv = no_env};

    return cfg_load(&src, str_from(toml), "provider.toml", region, ret_settings, ret_err);
}

static char program[] = "serve";
static char *const no_flags[] = {program, NULL};

static const char existing_file[] = "[provider]\n"
                                    "name = \"eigeninference-mac16-5\"\n"
                                    "memory_reserve_gb = 6\n"
                                    "auto_update = true\n"
                                    "[backend]\n"
                                    "port = 8100\n"
                                    "model = \"mlx-community/Qwen3-8B-4bit\"\n"
                                    "continuous_batching = true\n"
                                    "enabled_models = [\"a\", \"b\"]\n"
                                    "idle_timeout_mins = 60\n"
                                    "[coordinator]\n"
                                    "url = \"ws://coordinator.example:8080/ws/provider\"\n"
                                    "heartbeat_interval_secs = 7\n"
                                    "[schedule]\n"
                                    "enabled = true\n"
                                    "[[schedule.windows]]\n"
                                    "days = [\"mon\", \"tue\"]\n"
                                    "start = \"22:00\"\n"
                                    "end = \"06:00\"\n";

static void a_file_of_the_existing_provider_loads(void **state)
{
    struct err err = {0};
    struct arena region;
    struct provider_settings s;

    (void)state;
    arena_init(&region, 1 << 20);
    if (load(&region, existing_file, no_flags, 1, &s, &err) < 0)
        fail_msg("%s", err.text);
    assert_true(s.memory_reserve_gb == 6);
    assert_true(str_is(s.coordinator_url, "ws://coordinator.example:8080/ws/provider"));
    assert_int_equal(s.heartbeat_interval_secs, 7);
    arena_free(&region);
}

static void note_ignored(void *ud, const char *setting, const char *why)
{
    assert_true(buf_printf(ud, "%s ", setting) == 0);
    assert_true(why[0]);
}

/* The settings that have no effect, each followed by a blank. */
static void ignored_in(const char *toml, struct buf *ret_names)
{
    struct arena region;
    struct provider_settings s;

    arena_init(&region, 1 << 20);
    assert_int_equal(load(&region, toml, no_flags, 1, &s, NULL), 0);
    cfg_each_ignored(&provider_settings_table, &s, &region, note_ignored, ret_names);
    arena_free(&region);
}

static void what_has_no_effect_is_named_unless_it_is_the_default(void **state)
{
    struct buf names;

    (void)state;
    buf_init(&names, 1 << 12);
    ignored_in("[provider]\nauto_update = true\n[backend]\nport = 8100\nenabled_models = []\n",
               &names);
    assert_int_equal(buf_view(&names).n, 0);
    ignored_in(existing_file, &names);
    assert_true(str_is(buf_view(&names), "provider.name backend.model backend.enabled_models "
                                         "schedule.enabled schedule.windows "));
    buf_free(&names);
}

static void the_oldest_files_without_later_keys_load(void **state)
{
    struct arena region;
    struct provider_settings s;

    (void)state;
    arena_init(&region, 1 << 20);
    assert_int_equal(
        load(&region, "[provider]\nname = \"x\"\n[backend]\nport = 8100\n", no_flags, 1, &s, NULL),
        0);
    assert_int_equal(s.heartbeat_interval_secs, 5);
    arena_free(&region);
}

static void defaults_are_those_of_the_help(void **state)
{
    struct arena region;
    struct provider_settings s;

    (void)state;
    arena_init(&region, 1 << 20);
    assert_int_equal(load(&region, "", no_flags, 1, &s, NULL), 0);
    assert_int_equal(s.slots, 8);
    assert_int_equal(s.context_tokens, 0);
    assert_int_equal(s.numerics, SETTINGS_NUMERICS_FAST);
    assert_string_equal(provider_settings_backend(&s), "inprocess-llama");
    assert_true(str_is(s.coordinator_url, "ws://localhost:8080/ws/provider"));
    arena_free(&region);
}

static void flags_beat_the_file(void **state)
{
    char url_flag[] = "--coordinator", url[] = "ws://127.0.0.1:9/x", slots[] = "--slots=3";
    char *const argv[] = {program, url_flag, url, slots, NULL};
    struct arena region;
    struct provider_settings s;

    (void)state;
    arena_init(&region, 1 << 20);
    assert_int_equal(load(&region, "[model]\nslots = 5\npath = \"/m.gguf\"\n", argv, 4, &s, NULL),
                     0);
    assert_int_equal(s.slots, 3);
    assert_true(str_is(s.coordinator_url, "ws://127.0.0.1:9/x"));
    assert_int_equal(provider_settings_check(&s, NULL), 0);
    arena_free(&region);
}

static void what_cannot_work_is_refused(void **state)
{
    static const struct {
        const char *toml, *says;
    } cases[] = {
        {"[model]\nslots = 0\n", "slots"},
        {"[model]\nslots = \"many\"\n", "slots"},
        {"[model]\nnumerics = \"exact\"\n", "numerics"},
        {"[provider]\nbackend = \"vllm\"\n", "backend"},
        {"[coordinator]\nheartbeat_interval_secs = 3600\n", "heartbeat_interval_secs"},
        {"[model]\nslotz = 3\n", "slotz"},
        {"[model\n", "provider.toml"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct arena region;
        struct provider_settings s;
        struct err err = {0};

        arena_init(&region, 1 << 20);
        assert_int_equal(load(&region, cases[i].toml, no_flags, 1, &s, &err), ERR_CONFIG);
        assert_non_null(strstr(err.text, cases[i].says));
        arena_free(&region);
    }
}

static void a_model_without_an_id_is_called_by_its_file(void **state)
{
    static const struct {
        const char *path, *id, *name;
    } cases[] = {{"/models/SmolLM2.Q4_1.gguf", "", "SmolLM2.Q4_1"},
                 {"plain", "", "plain"},
                 {"/models/.gguf", "", ".gguf"},
                 {"/models/a.gguf", "chosen", "chosen"}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct provider_settings s = {.model_path = str_from(cases[i].path),
                                      .model_id = str_from(cases[i].id)};

        assert_true(str_is(provider_settings_model_id(&s), cases[i].name));
    }
}

static void a_wrong_scheme_and_a_missing_model_are_refused(void **state)
{
    struct provider_settings s = {.coordinator_url = STR("https://c.example/ws/provider"),
                                  .model_path = STR("/m.gguf")};
    struct err err = {0};

    (void)state;
    assert_int_equal(provider_settings_check(&s, &err), ERR_CONFIG);
    assert_non_null(strstr(err.text, "or wss:// for TLS"));
    s.coordinator_url = STR("wss://c.example/ws/provider");
    s.model_path = (struct str){0};
    assert_int_equal(provider_settings_check(&s, &err), ERR_CONFIG);
    assert_non_null(strstr(err.text, "--model"));
}

/* --- places of files --- */

struct home {
    char dir[64];
    struct arena region;
    struct paths paths;
};

static char home_dir[64];

static const char *home_env(const char *name)
{
    return str_is(str_from(name), "HOME") ? home_dir : NULL;
}

static int home_up(void **state)
{
    static struct home h;

    (void)snprintf(home_dir, sizeof home_dir, "/tmp/darkbloom-home-XXXXXX");
    assert_non_null(mkdtemp(home_dir));
    (void)snprintf(h.dir, sizeof h.dir, "%s", home_dir);
    arena_init(&h.region, 1 << 16);
    h.paths = (struct paths){.getenv = home_env, .region = &h.region};
    *state = &h;
    return 0;
}

static int home_down(void **state)
{
    struct home *h = *state;
    char command[128];

    arena_free(&h->region);
    (void)snprintf(command, sizeof command, "rm -r %s", h->dir);
    return system(command);
}

static void put(const struct home *h, const char *path, const char *text, mode_t mode)
{
    char full[512];
    FILE *f;

    (void)snprintf(full, sizeof full, "%s/%s", h->dir, path);
    for (char *slash = full + strlen(h->dir) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        (void)mkdir(full, 0700);
        *slash = '/';
    }
    f = fopen(full, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(full, mode), 0);
}

static void our_configuration_is_found_before_the_existing_ones(void **state)
{
    struct home *h = *state;

    assert_null(paths_config(&h->paths).p);
    put(h, ".config/eigeninference/provider.toml", "", 0644);
    assert_non_null(strstr(paths_config(&h->paths).p, "eigeninference"));
    put(h, ".config/darkbloom/provider.toml", "", 0644);
    assert_non_null(strstr(paths_config(&h->paths).p, "darkbloom/provider.toml"));
}

static void the_key_stands_in_the_configuration_directory(void **state)
{
    struct home *h = *state;
    struct str path;
    struct stat st;
    char dir[128];
    struct paths homeless;

    assert_int_equal(paths_identity_key(&h->paths, &path, NULL), 0);
    (void)snprintf(dir, sizeof dir, "%s/.config/darkbloom", h->dir);
    assert_int_equal(stat(dir, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_true(str_starts(path, str_from(dir)));
    homeless = (struct paths){.getenv = no_env, .region = &h->region};
    assert_int_equal(paths_identity_key(&homeless, &path, NULL), ERR_CONFIG);
}

static void the_account_token_is_found_trimmed_and_private(void **state)
{
    struct home *h = *state;
    struct str token, none = {0};
    struct err err = {0};
    char path[128];

    assert_int_equal(paths_auth_token(&h->paths, none, &token, NULL), 0);
    assert_null(token.p);
    put(h, ".config/eigeninference/auth_token", "eigeninference-pt-1\n", 0600);
    assert_int_equal(paths_auth_token(&h->paths, none, &token, NULL), 0);
    assert_true(str_is(token, "eigeninference-pt-1"));
    put(h, ".darkbloom/auth_token", "  pt-2 \n", 0600);
    assert_int_equal(paths_auth_token(&h->paths, none, &token, NULL), 0);
    assert_true(str_is(token, "pt-2"));
    put(h, ".config/darkbloom/auth_token", "pt-3", 0640);
    assert_int_equal(paths_auth_token(&h->paths, none, &token, &err), ERR_CONFIG);
    assert_non_null(strstr(err.text, "chmod 600"));
    (void)snprintf(path, sizeof path, "%s/missing", h->dir);
    assert_int_equal(paths_auth_token(&h->paths, str_from(path), &token, &err), ERR_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_of_the_existing_provider_loads),
        cmocka_unit_test(what_has_no_effect_is_named_unless_it_is_the_default),
        cmocka_unit_test(the_oldest_files_without_later_keys_load),
        cmocka_unit_test(defaults_are_those_of_the_help),
        cmocka_unit_test(flags_beat_the_file),
        cmocka_unit_test(what_cannot_work_is_refused),
        cmocka_unit_test(a_model_without_an_id_is_called_by_its_file),
        cmocka_unit_test(a_wrong_scheme_and_a_missing_model_are_refused),
        cmocka_unit_test_setup_teardown(our_configuration_is_found_before_the_existing_ones,
                                        home_up, home_down),
        cmocka_unit_test_setup_teardown(the_key_stands_in_the_configuration_directory, home_up,
                                        home_down),
        cmocka_unit_test_setup_teardown(the_account_token_is_found_trimmed_and_private, home_up,
                                        home_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
