/* SPDX-License-Identifier: Apache-2.0 */
/* Everything that the tables declare stands in the reference. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "attest/trust.h"
#include "coordinator/metrics.h"
#include "coordinator/settings.h"
#include "docs/docs.h"
#include "proto/api_error.h"
#include "proto/provider_msg.h"
#include "provider/settings.h"

enum { PAGE_MAX_BYTES = 1 << 20 };

static struct page written(void (*write)(struct page *p))
{
    struct page p = {0};

    buf_init(&p.out, PAGE_MAX_BYTES);
    write(&p);
    assert_int_equal(p.rc, 0);
    return p;
}

__attribute__((format(printf, 2, 3))) static void assert_says(const struct page *p, const char *fmt,
                                                              ...)
{
    struct str page = buf_view(&p->out);
    char text[512];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (!memmem(page.p, page.n, text, strlen(text)))
        fail_msg("nothing says `%s`", text);
}

static void assert_fields(const struct page *p, const struct shape *shape)
{
    for (const struct shape_field *f = shape->fields; f->name; f++) {
        assert_says(p, "\n| `%s` | ", f->name);
        if (f->sub) {
            assert_says(p, "\n## %s\n", f->sub()->name);
            assert_fields(p, f->sub());
        }
    }
}

static void every_message_has_its_section_its_fields_and_their_objects(void **state)
{
    struct page p = written(docs_protocol);

    (void)state;
    for (int i = MSG_UNKNOWN + 1; i < MSG_COUNT; i++) {
        assert_says(&p, "\n## `%s`\n\nFrom the ", msg_type_name((enum msg_type)i));
        assert_fields(&p, msg_shape((enum msg_type)i));
    }
    assert_says(&p, "| `request_id` | string | required |");
    assert_says(&p, "| `models` | array of objects: [model](#model) | ");
    assert_says(&p, "From the coordinator: stop a request.");
    buf_free(&p.out);
}

static void assert_rows(const struct page *p, const struct cfg_key *keys)
{
    for (; keys->key; keys++) {
        assert_says(p, "\n| `%s` | ", keys->key);
        assert_says(p, "%s", keys->help);
        if (keys->flag)
            assert_says(p, "| `%s` |", keys->flag);
        if (keys->env)
            assert_says(p, "`%s`", keys->env);
        if (keys->env_old)
            assert_says(p, "`%s`", keys->env_old);
    }
}

static void every_setting_of_both_programs_has_its_row(void **state)
{
    static const struct cfg_table *const tables[] = {&settings_table, &provider_settings_table};
    struct page p = written(docs_settings);

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        assert_says(&p, "# %s\n", tables[i]->program);
        assert_rows(&p, tables[i]->keys);
        for (const struct cfg_array *a = tables[i]->arrays; a && a->name; a++) {
            assert_says(&p, "## `[[%s]]`", a->name);
            assert_rows(&p, a->rows);
        }
    }
    assert_says(&p,
                "| `server.port` | `--port` | `DARKBLOOM_PORT`, `EIGENINFERENCE_PORT` | 0 to 65535 "
                "| `8080` | ");
    buf_free(&p.out);
}

static void every_error_and_every_reason_is_listed(void **state)
{
    struct page p = written(docs_errors);

    (void)state;
    for (int id = API_OK + 1; id < API_ERROR_COUNT; id++) {
        struct api_error e;

        (void)api_error_set(&e, (enum api_error_id)id, NULL, "x");
        assert_says(&p, "` | `%s` |\n", e.code);
    }
    for (int r = TRUST_REASON_NEW; r <= TRUST_REASON_UNDECRYPTABLE; r++)
        assert_says(&p, "\n| `%s` | ", trust_reason_code((enum trust_reason)r));
    buf_free(&p.out);
}

static void every_log_event_is_listed_as_logs_spell_it(void **state)
{
    static const char *const helps[] = {
#define LOG_EVENT(name, per_s, burst, help) help,
#include "base/log_events.def"
#undef LOG_EVENT
    };
    struct page p = written(docs_events);

    (void)state;
    for (size_t i = 0; i < sizeof helps / sizeof helps[0]; i++)
        assert_says(&p, " | %s |\n", helps[i]);
    assert_says(&p, "\n| `provider_registered` | ");
    assert_says(&p, "\n| `provider_protocol` | 10/s, 50 at once | ");
    buf_free(&p.out);
}

static void every_metric_has_a_row_with_all_its_names(void **state)
{
    struct page p = written(docs_metrics);

    (void)state;
    for (size_t i = 0; i < metrics_table.n_rows; i++) {
        const struct metric_row *r = &metrics_table.rows[i];

        assert_says(&p, "\n| `%s` | ", r->name);
        assert_says(&p, " | %s |\n", r->help);
        if (r->alias)
            assert_says(&p, " | `%s` | ", r->alias);
        if (r->statsd)
            assert_says(&p, " | `darkbloom.%s` | ", r->statsd);
    }
    for (size_t i = 1; i < metrics_table.n_labels; i++)
        assert_says(&p, "\n## %s\n", metrics_table.labels[i].name);
    buf_free(&p.out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_message_has_its_section_its_fields_and_their_objects),
        cmocka_unit_test(every_setting_of_both_programs_has_its_row),
        cmocka_unit_test(every_error_and_every_reason_is_listed),
        cmocka_unit_test(every_log_event_is_listed_as_logs_spell_it),
        cmocka_unit_test(every_metric_has_a_row_with_all_its_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
