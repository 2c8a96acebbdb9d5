/* SPDX-License-Identifier: Apache-2.0 */
/* providers, providers forgive, route: what the running coordinator says (api/admin.h). */
#include "coordinator/command/ask.h"
#include "coordinator/command/options.h"

enum { TARGET_MAX_BYTES = 8 << 10 };

/* Ask for `path` with these parameters, whose value is NULL where they were not given. */
static int providers_ask(const struct command_env *env, const char *method, const char *path,
                         const struct command_option *parameters, bool json, struct err *ret_err)
{
    struct buf target;
    int rc;

    buf_init(&target, TARGET_MAX_BYTES);
    rc = buf_append_str(&target, str_from(path));
    for (; rc == 0 && parameters->name; parameters++)
        rc = ask_add(&target, parameters->name, parameters->value);
    if (rc == 0 && !json)
        rc = ask_add(&target, "format", STR("text"));
    if (rc < 0)
        rc = err_set(ret_err, ERR_USAGE, "the words are longer than %d bytes", TARGET_MAX_BYTES);
    else
        rc = ask_coordinator(env, method, buf_view(&target), ret_err);
    buf_free(&target);
    return rc;
}

int command_providers(const struct command_env *env, int argc, const struct str *argv,
                      struct err *ret_err)
{
    struct command_option options[] = {{.name = "--gate", .needs = "a gate's code"},
                                       {.name = "--limit", .needs = "a number"},
                                       {.name = "--json"},
                                       {.name = NULL}};
    int rc = command_words(argc, argv, "providers [--gate CODE] [--limit N] [--json]", options,
                           NULL, NULL, ret_err);
    const struct command_option parameters[] = {{.name = "gate", .value = options[0].value},
                                                {.name = "limit", .value = options[1].value},
                                                {.name = NULL}};

    return rc < 0 ? rc
                  : providers_ask(env, "GET", "/v1/admin/providers", parameters,
                                  options[2].value.p != NULL, ret_err);
}

int command_providers_forgive(const struct command_env *env, int argc, const struct str *argv,
                              struct err *ret_err)
{
    struct command_option none = {.name = NULL};
    struct command_option parameters[] = {{.name = "key"}, {.name = NULL}};
    int rc = command_words(argc, argv, "providers forgive KEY", &none, "KEY", &parameters[0].value,
                           ret_err);

    return rc < 0 ? rc
                  : providers_ask(env, "POST", "/v1/admin/providers/forgive", parameters, false,
                                  ret_err);
}

int command_route(const struct command_env *env, int argc, const struct str *argv,
                  struct err *ret_err)
{
    struct command_option options[] = {{.name = "--min-trust", .needs = "a trust level"},
                                       {.name = "--tokens", .needs = "a number of tokens"},
                                       {.name = "--json"},
                                       {.name = NULL}};
    struct str model = {0};
    int rc = command_words(argc, argv, "route MODEL [--min-trust LEVEL] [--tokens N] [--json]",
                           options, "MODEL", &model, ret_err);
    const struct command_option parameters[] = {{.name = "model", .value = model},
                                                {.name = "min_trust", .value = options[0].value},
                                                {.name = "tokens", .value = options[1].value},
                                                {.name = NULL}};

    return rc < 0 ? rc
                  : providers_ask(env, "GET", "/v1/admin/routing/explain", parameters,
                                  options[2].value.p != NULL, ret_err);
}
