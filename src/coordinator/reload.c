/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/reload.h"

#include <stdlib.h>

#include "net/tls.h"

enum { REGION_MAX_BYTES = 4 << 20 };

struct reload_generation {
    struct arena region;
    struct settings settings;
};

int reload_read(const struct cfg_source *src, struct str file, struct arena *region,
                struct settings *ret_settings, struct err *ret_err)
{
    int rc = file.p ? cfg_load_file(src, file.p, region, ret_settings, ret_err)
                    : cfg_load(src, (struct str){0}, NULL, region, ret_settings, ret_err);

    ret_settings->tls = NULL; /* no row of the table */
    return rc == 0 ? settings_check(ret_settings, ret_err) : rc;
}

void reload_init(struct reload *r, const struct cfg_source *src, struct str file,
                 const struct settings *loaded, const struct settings *at_start)
{
    *r = (struct reload){.src = src, .file = file, .loaded = *loaded, .at_start = at_start};
}

static void reload_generation_free(struct reload_generation *g)
{
    if (!g)
        return;
    tls_context_free(g->settings.tls);
    arena_free(&g->region);
    free(g);
}

void reload_free(struct reload *r)
{
    reload_generation_free(r->now);
    reload_generation_free(r->before);
    r->now = r->before = NULL;
}

static void reload_log_fixed(void *ud, const char *setting, bool reloadable)
{
    const struct log *log = *(const struct log **)ud;

    if (!reloadable)
        log_event(log, LOG_WARN, EV_CONFIG_WARNING, KV_CSTR("setting", setting),
                  KV_CSTR("why", "it was changed, but takes effect with the next start only"));
}

static void reload_log_taken(void *ud, const char *setting, bool reloadable)
{
    const struct log *log = *(const struct log **)ud;

    if (reloadable)
        log_event(log, LOG_INFO, EV_SETTING_CHANGED, KV_CSTR("setting", setting));
}

int reload_again(struct reload *r, const struct log *log, const struct settings **ret_settings)
{
    const struct settings *old = r->now ? &r->now->settings : r->at_start;
    struct reload_generation *g = calloc(1, sizeof *g);
    struct err e = {0};
    int rc = ERR_NOMEM;

    if (g) {
        arena_init(&g->region, REGION_MAX_BYTES);
        rc = reload_read(r->src, r->file, &g->region, &g->settings, &e);
        if (rc == 0)
            rc = settings_open_tls(&g->settings, &e);
    }
    if (rc < 0) {
        log_event(log, LOG_ERROR, EV_RELOAD_REFUSED,
                  KV_CSTR("why", e.text[0] ? e.text : err_str(rc)),
                  KV_CSTR("so", "all settings stay as they were"));
        reload_generation_free(g);
        return rc;
    }
    cfg_each_change(&settings_table, &r->loaded, &g->settings, reload_log_fixed, &log);
    cfg_keep_fixed(&settings_table, r->at_start, &g->settings);
    cfg_each_change(&settings_table, old, &g->settings, reload_log_taken, &log);
    reload_generation_free(r->before);
    r->before = r->now;
    r->now = g;
    *ret_settings = &g->settings;
    return 0;
}
