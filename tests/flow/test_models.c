/* SPDX-License-Identifier: Apache-2.0 */
/* What strangers say of models and machines: it bounds nobody before their key is proven, and never
 * takes more room than a line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "attest/trust.h"
#include "fake_consumer.h"
#include "fake_provider.h"

enum { PROMPT = 80, LABEL_BYTES = 128 };

static const struct fake_provider_config plain = {0};

static struct fake_consumer *ask_for(struct fake_world *w, const char *model)
{
    char body[300];

    snprintf(body, sizeof body, "{\"model\":\"%s\",\"max_tokens\":100," FAKE_MESSAGES "}", model);
    return fake_consumer_ask(w, &(struct fake_ask){.body = body});
}

static struct fake_consumer *list(struct fake_world *w)
{
    return fake_consumer_ask(w, &(struct fake_ask){.target = "GET /v1/models", .body = ""});
}

static void a_model_is_known_once_it_was_announced(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p;
    struct fake_consumer *c;

    assert_int_equal(fake_consumer_status(ask_for(w, "new-model")), 404);
    p = fake_provider_join(
        w, &(struct fake_provider_config){.model = "new-model", .answer = FAKE_SILENT});
    c = ask_for(w, "new-model"); /* it waits for a provider that may be asked */
    assert_int_equal(fake_consumer_status(c), 0);
    fake_provider_die(p);
    fake_world_settle(w);
    p = fake_provider_join(w, &(struct fake_provider_config){.model = "new-model"});
    fake_provider_serve(p, 0, PROMPT, 40);
    assert_int_equal(fake_consumer_status(c), 200);
}

static void one_model_is_found_by_its_id(void **state)
{
    static const struct {
        const char *target;
        int status;
        const char *says;
    } rows[] = {
        {"GET /v1/models/org/new-model", 200, "{\"id\":\"org/new-model\",\"object\":\"model\","},
        {"GET /v1/models/org%2Fnew-model", 200, "{\"id\":\"org/new-model\",\"object\":\"model\","},
        {"GET /v1/models/org", 404, "\"code\":\"model_not_found\""},
        {"GET /v1/models/org%2Fnew-model%", 404, "\"param\":\"model\""},
        {"GET /v1/models/%00", 404, "\"code\":\"model_not_found\""},
        {"DELETE /v1/models/org/new-model", 405, "\"code\":\"method_not_allowed\""},
    };
    struct fake_world *w = *state;

    fake_provider_join(w, &(struct fake_provider_config){.model = "org/new-model"});
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fake_consumer *c =
            fake_consumer_ask(w, &(struct fake_ask){.target = rows[i].target, .body = ""});

        assert_int_equal(fake_consumer_status(c), rows[i].status);
        assert_true(fake_says(fake_consumer_body(c), rows[i].says));
    }
}

static void a_stranger_bounds_nobodys_answer(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p = fake_provider_join(w, &plain);

    fake_provider_join(w,
                       &(struct fake_provider_config){.answer = FAKE_SILENT, .context_length = 1});
    fake_provider_die(p);
    fake_world_settle(w);
    p = fake_provider_join(w, &plain);
    fake_consumer_whole(w);
    assert_int_equal(fake_number(buf_view(&p->jobs[0].body), "max_tokens"), 100);
    fake_provider_serve(p, 0, PROMPT, 40);
    assert_int_equal(fake_world_hold(w, 0).delivered_tokens, 40);
}

static void a_long_name_of_a_machine_is_cut_to_whole_characters(void **state)
{
    struct fake_world *w = *state;
    char *name = calloc(1, 100001), expected[LABEL_BYTES + 1];
    struct fake_provider *p;
    struct fake_consumer *c;

    assert_non_null(name);
    name[0] = 'x';
    for (size_t i = 1; i < 99999; i += 2)
        memcpy(name + i, "\xC3\xA9", 2);
    memcpy(expected, name, LABEL_BYTES - 1);
    expected[LABEL_BYTES - 1] = 0;
    p = fake_provider_join(w, &(struct fake_provider_config){.chip_name = name});
    c = fake_consumer_whole(w);
    fake_provider_serve(p, 0, PROMPT, 40);
    assert_true(str_is(fake_consumer_header(c, "X-Provider-Chip"), expected));
    free(name);
}

static void a_name_ends_where_it_cannot_be_printed(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p =
        fake_provider_join(w, &(struct fake_provider_config){.chip_name = "Test\r\nX-Evil: 1"});
    struct fake_consumer *c = fake_consumer_whole(w);

    fake_provider_serve(p, 0, PROMPT, 40);
    assert_true(str_is(fake_consumer_header(c, "X-Provider-Chip"), "Test"));
    assert_null(fake_consumer_header(c, "X-Evil").p);
}

static void the_list_holds_what_is_served_now(void **state)
{
    struct fake_world *w = *state;
    struct fake_provider *p;

    assert_true(fake_says(fake_consumer_body(list(w)), "\"data\":[]"));
    p = fake_provider_join(w, &plain);
    fake_provider_join(w, &(struct fake_provider_config){.answer = FAKE_SILENT, .model = "m"});
    assert_true(fake_says(fake_consumer_body(list(w)), "\"id\":\"" FAKE_MODEL "\""));
    assert_true(fake_says(fake_consumer_body(list(w)), "\"provider_count\":1"));
    assert_false(fake_says(fake_consumer_body(list(w)), "\"id\":\"m\""));
    fake_provider_die(p);
    fake_world_settle(w);
    assert_true(fake_says(fake_consumer_body(list(w)), "\"data\":[]"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_world_up, fake_world_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_model_is_known_once_it_was_announced),
        TEST(one_model_is_found_by_its_id),
        TEST(a_stranger_bounds_nobodys_answer),
        TEST(a_long_name_of_a_machine_is_cut_to_whole_characters),
        TEST(a_name_ends_where_it_cannot_be_printed),
        TEST(the_list_holds_what_is_served_now),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
