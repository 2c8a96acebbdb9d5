/* SPDX-License-Identifier: Apache-2.0 */
/* The pages that are one list or two. */
#include "attest/trust.h"
#include "docs/docs.h"

static const struct {
    int status;
    const char *type, *code;
} api_errors[] = {
#define API_ERROR(name, status, type, code) {status, type, code},
#include "proto/api_errors.def"
#undef API_ERROR
};

#define PROVIDER_PARAM(name)
static const struct {
    const char *code, *param, *class, *sentence;
} provider_errors[] = {
#define PROVIDER_CODE(code, param, class, id, sentence) {"`" code "`", param, #class, sentence},
#define PROVIDER_STATUS(status, class, id, sentence)    {"status " #status, NULL, #class, sentence},
#include "proto/provider_errors.def"
#undef PROVIDER_CODE
#undef PROVIDER_STATUS
};
#undef PROVIDER_PARAM

static const struct {
    const char *code, *help;
} reasons[] = {
#define REASON(name, code, help) {code, help},
    TRUST_REASON_TABLE(REASON)
#undef REASON
};

static const struct {
    const char *name, *help;
    int per_s, burst;
} events[] = {
#define LOG_EVENT(name, per_s, burst, help) {#name, help, per_s, burst},
#include "base/log_events.def"
#undef LOG_EVENT
};

void docs_errors(struct page *p)
{
    page_add(p,
             "# API errors\n\n`{\"error\":{\"message\",\"type\",\"param\",\"code\"}}`, in a stream "
             "as an event of its own.\n\n| status | `type` | `code` |\n|---|---|---|\n");
    for (size_t i = 0; i < sizeof api_errors / sizeof api_errors[0]; i++)
        page_add(p, "| %d | `%s` | `%s` |\n", api_errors[i].status, api_errors[i].type,
                 api_errors[i].code);
    page_add(p, "\n# What a provider's error means\n\nREQUEST_FAULT: final, nobody's fault but the "
                "request's. REFUSED_LOAD: tried elsewhere, never counted. FAULT, and whatever is "
                "not listed: tried elsewhere and counted.\n\n| `code`, or status alone | `param` | "
                "class | what the consumer reads |\n|---|---|---|---|\n");
    for (size_t i = 0; i < sizeof provider_errors / sizeof provider_errors[0]; i++)
        page_add(p, "| %s | %s | %s | %s |\n", provider_errors[i].code,
                 provider_errors[i].param ? provider_errors[i].param : "any",
                 provider_errors[i].class, provider_errors[i].sentence);
    page_add(p, "\n# Reasons of a trust level\n\n| code | means |\n|---|---|\n");
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
        page_add(p, "| `%s` | %s |\n", reasons[i].code, reasons[i].help);
}

/* Tables spell them in capitals, log lines do not. */
static void tables_event_name(struct page *p, const char *name)
{
    for (; *name; name++)
        page_add(p, "%c", *name >= 'A' && *name <= 'Z' ? *name + ('a' - 'A') : *name);
}

void docs_events(struct page *p)
{
    page_add(p, "# Log events\n\nlogfmt, one line an event: `ts`, `level`, `event`, then its own "
                "fields. Of an event with a limit, lines beyond it are counted and not written; "
                "`log_suppressed` says how many.\n\n| event | at most | means |\n|---|---|---|\n");
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++) {
        page_add(p, "| `");
        tables_event_name(p, events[i].name);
        page_add(p, "` | ");
        if (events[i].per_s)
            page_add(p, "%d/s, %d at once", events[i].per_s, events[i].burst);
        page_add(p, " | %s |\n", events[i].help);
    }
}
