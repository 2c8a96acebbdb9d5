/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cfg.h"
#include "coordinator/settings.h"
#include "docs/docs.h"
#include "provider/settings.h"

static void settings_value(struct page *p, const struct cfg_key *k)
{
    switch (k->type) {
    case CFG_STR:
        page_add(p, "string");
        break;
    case CFG_INT:
        page_add(p, "%.0f to %.0f", k->min, k->max);
        break;
    case CFG_FLOAT:
        page_add(p, "%g to %g", k->min, k->max);
        break;
    case CFG_BOOL:
        page_add(p, "`true`, `false`");
        break;
    case CFG_ENUM:
        for (size_t i = 0; k->choices[i]; i++)
            page_add(p, "%s`%s`", i ? ", " : "", k->choices[i]);
        break;
    case CFG_LIST:
        page_add(p, "list of strings");
        break;
    }
}

static void settings_code(struct page *p, const char *text, const char *after)
{
    if (text && text[0])
        page_add(p, "`%s`%s", text, after);
}

static void settings_row(struct page *p, const struct cfg_key *k)
{
    page_add(p, "| `%s` | ", k->key);
    settings_code(p, k->flag, "");
    page_add(p, " | ");
    settings_code(p, k->env, k->env_old ? ", " : "");
    settings_code(p, k->env_old, "");
    page_add(p, " | ");
    settings_value(p, k);
    page_add(p, " | ");
    settings_code(p, k->deflt, "");
    page_add(p, " | %s%s |\n", k->help,
             k->flags & CFG_IGNORED      ? " (no effect)"
             : k->flags & CFG_RELOADABLE ? " (SIGHUP)"
                                         : "");
}

static void settings_rows(struct page *p, const struct cfg_key *keys)
{
    page_add(p, "| setting | flag | environment | value | default | meaning |\n"
                "|---|---|---|---|---|---|\n");
    for (; keys->key; keys++)
        settings_row(p, keys);
    page_add(p, "\n");
}

static void settings_program(struct page *p, const struct cfg_table *t)
{
    page_add(p, "# %s\n\n", t->program);
    settings_rows(p, t->keys);
    for (const struct cfg_array *a = t->arrays; a && a->name; a++) {
        page_add(p, "## `[[%s]]`, any number of%s\n\n", a->name,
                 a->flags & CFG_RELOADABLE ? " (SIGHUP)" : "");
        settings_rows(p, a->rows);
    }
}

void docs_settings(struct page *p)
{
    page_add(
        p,
        "Later wins: default, TOML file (`--config`), environment, flag. Those marked (SIGHUP) are "
        "read again on that signal, all at once or none; the others take a restart.\n\n");
    settings_program(p, &settings_table);
    settings_program(p, &provider_settings_table);
}
