/* SPDX-License-Identifier: Apache-2.0 */
/* What a request may not ask for here. */
#include "provider/serve/support.h"

#include "proto/span.h"

enum { NEUTRAL_MAX = 4 };

/* The values of a field that ask for nothing, as compact JSON; any other value is refused. null is
 * neutral for all. */
static const struct {
    const char *field;
    const char *neutral[NEUTRAL_MAX];
} fields[] = {
    {"endpoint", {"\"/v1/chat/completions\"", "\"chat/completions\"", "\"\""}},
    {"tools", {"[]"}},
    {"tool_choice", {"\"none\"", "\"auto\""}},
    {"functions", {"[]"}},
    {"function_call", {"\"none\"", "\"auto\""}},
    {"logprobs", {"false"}},
    {"top_logprobs", {"0"}},
    {"logit_bias", {"{}"}},
    {"response_format", {"{\"type\":\"text\"}"}},
    {"modalities", {"[\"text\"]"}},
    {"audio", {0}},
    {"prediction", {0}},
    {"web_search_options", {0}},
};

/* Whether `json` is `compact` but for white space. The compact texts have none inside strings. */
static bool is_json(struct str json, const char *compact)
{
    for (size_t i = 0; i < json.n; i++) {
        if (strchr(" \t\r\n", json.p[i]))
            continue;
        if (*compact != json.p[i])
            return false;
        compact++;
    }
    return !*compact;
}

static bool is_neutral(struct str value, const char *const *neutral)
{
    for (int i = 0; i < NEUTRAL_MAX && neutral[i]; i++)
        if (is_json(value, neutral[i]))
            return true;
    return is_json(value, "null");
}

int support_check(struct str body, struct api_error *ret_error)
{
    struct span_member member;
    size_t cursor = 0;
    while (span_next(body, &cursor, &member) == 1)
        for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
            if (str_is(member.key, fields[i].field) && !is_neutral(member.value, fields[i].neutral))
                return api_error_set(ret_error, API_UNSUPPORTED, fields[i].field,
                                     "%s is not supported by this provider", fields[i].field);
    return 0;
}
