/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/beyond_text.h"

enum { NEUTRAL_MAX = 4 };

/* The values of a field that ask for nothing, as compact JSON. null is neutral for all. */
static const struct {
    const char *field;
    const char *neutral[NEUTRAL_MAX];
} fields[] = {
    {"endpoint", {"\"/v1/chat/completions\"", "\"chat/completions\"", "\"\""}},
    {"functions", {"[]"}},
    {"function_call", {"\"none\"", "\"auto\""}},
    {"modalities", {"[\"text\"]"}},
    {"audio", {0}},
    {"prediction", {0}},
    {"web_search_options", {0}},
    /* Other servers' own ways to constrain an answer: response_format does it here. */
    {"grammar", {"\"\""}},
    {"json_schema", {0}},
    {"guided_json", {0}},
    {"guided_regex", {0}},
    {"guided_choice", {0}},
    {"guided_grammar", {0}},
    {"structured_outputs", {0}},
};

/* Whether `json` is `compact` but for white space. The compact texts have none inside strings. */
static bool beyond_text_is_json(struct str json, const char *compact)
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

static bool beyond_text_is_neutral(struct str value, const char *const *neutral)
{
    for (int i = 0; i < NEUTRAL_MAX && neutral[i]; i++) {
        if (beyond_text_is_json(value, neutral[i]))
            return true;
    }
    return beyond_text_is_json(value, "null");
}

const char *beyond_text_field(struct str name, struct str value)
{
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        if (str_is(name, fields[i].field))
            return beyond_text_is_neutral(value, fields[i].neutral) ? NULL : fields[i].field;
    }
    return NULL;
}
