/* SPDX-License-Identifier: Apache-2.0 */
/* What a scripted provider says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "fake_provider.h"

static const struct chunk_head head = {
    .id = STR("chatcmpl-fake"), .model = STR(FAKE_MODEL), .created_s = 1790000000};

void fake_provider_say(struct fake_provider *p, struct str frame)
{
    if (p->ws)
        assert_int_equal(ws_send(p->ws, frame), 0);
}

void fake_provider_send(struct fake_provider *p, const struct provider_msg *m)
{
    buf_clear(&p->frame);
    assert_int_equal(provider_msg_encode(m, &p->frame), 0);
    fake_provider_say(p, buf_view(&p->frame));
}

static void send_and_settle(struct fake_provider *p, const struct provider_msg *m)
{
    fake_provider_send(p, m);
    fake_world_settle(p->w);
}

static void send_heartbeat(struct fake_provider *p, struct str status)
{
    struct provider_msg m = {
        .type = MSG_HEARTBEAT,
        .heartbeat = {
            .status = status,
            .system_metrics = {.cpu_usage = p->config.cpu_usage, .thermal_state = STR("nominal")},
            .has_backend_capacity = true,
            .backend_capacity = {.max_running =
                                     p->config.max_running > 0 ? p->config.max_running : 4}}};

    fake_provider_send(p, &m);
}

/* From inside the loop too: does not settle. */
void fake_provider_heartbeat(struct fake_provider *p)
{
    send_heartbeat(p, STR("idle"));
}

void fake_provider_drain(struct fake_provider *p)
{
    send_heartbeat(p, STR("draining"));
    fake_world_settle(p->w);
}

void fake_provider_accept(struct fake_provider *p, size_t job, int64_t prompt_tokens)
{
    send_and_settle(
        p, &(struct provider_msg){.type = MSG_INFERENCE_ACCEPTED,
                                  .accepted = {str_from(p->jobs[job].wire_id), prompt_tokens}});
}

struct provider_msg fake_provider_chunk(struct fake_provider *p, size_t job, struct str line,
                                        int64_t tokens)
{
    struct fake_job *j = &p->jobs[job];

    buf_clear(&p->sealed);
    assert_int_equal(box_seal_append(j->session, line, &p->sealed), 0);
    return (struct provider_msg){
        .type = MSG_INFERENCE_RESPONSE_CHUNK,
        .chunk = {
            .request_id = str_from(j->wire_id),
            .has_encrypted_data = true,
            .encrypted_data = {str_from(box_session_public_b64(j->session)), buf_view(&p->sealed)},
            .tokens = tokens}};
}

void fake_provider_line(struct fake_provider *p, size_t job, struct str line, int64_t tokens)
{
    struct provider_msg m = fake_provider_chunk(p, job, line, tokens);

    send_and_settle(p, &m);
}

void fake_provider_role(struct fake_provider *p, size_t job)
{
    buf_clear(&p->line);
    assert_int_equal(chunk_write_role(&head, &p->line), 0);
    fake_provider_line(p, job, buf_view(&p->line), 0);
}

/* "…"}}]} → "…","reasoning":"xxx"}}]}, with `n` times x. */
static void add_reasoning(struct buf *line, int64_t n)
{
    const struct str end = STR("},\"finish_reason\":null}]}");

    line->len -= end.n;
    assert_int_equal(buf_append_str(line, STR(",\"reasoning\":\"")), 0);
    for (int64_t i = 0; i < n; i++)
        assert_int_equal(buf_append_str(line, STR("x")), 0);
    assert_int_equal(buf_append_str(line, STR("\"")), 0);
    assert_int_equal(buf_append_str(line, end), 0);
}

void fake_provider_text(struct fake_provider *p, size_t job, const char *text, int64_t tokens)
{
    int64_t bytes = (int64_t)strlen(text);

    buf_clear(&p->line);
    assert_int_equal(chunk_write_content(&head, str_from(text), &p->line), 0);
    if (tokens > bytes)
        add_reasoning(&p->line, tokens - bytes);
    fake_provider_line(p, job, buf_view(&p->line), tokens);
}

void fake_provider_exaggerate(struct fake_provider *p, size_t job, const char *text, int64_t tokens)
{
    buf_clear(&p->line);
    assert_int_equal(chunk_write_content(&head, str_from(text), &p->line), 0);
    fake_provider_line(p, job, buf_view(&p->line), tokens);
}

void fake_provider_finish(struct fake_provider *p, size_t job)
{
    buf_clear(&p->line);
    assert_int_equal(chunk_write_finish(&head, CHUNK_FINISH_STOP, &p->line), 0);
    fake_provider_line(p, job, buf_view(&p->line), 0);
}

void fake_provider_usage(struct fake_provider *p, size_t job, int64_t prompt, int64_t completion)
{
    buf_clear(&p->line);
    assert_int_equal(chunk_write_usage(&head, prompt, completion, &p->line), 0);
    fake_provider_line(p, job, buf_view(&p->line), 0);
    fake_provider_line(p, job, STR("data: [DONE]"), 0);
}

void fake_provider_complete(struct fake_provider *p, size_t job, int64_t prompt, int64_t completion)
{
    send_and_settle(
        p, &(struct provider_msg){.type = MSG_INFERENCE_COMPLETE,
                                  .complete = {.request_id = str_from(p->jobs[job].wire_id),
                                               .usage = {prompt, completion},
                                               .se_signature = STR("c2lnbmF0dXJl"),
                                               .response_hash = STR("0123456789abcdef")}});
}

void fake_provider_error(struct fake_provider *p, size_t job, int status, const char *text)
{
    send_and_settle(p,
                    &(struct provider_msg){.type = MSG_INFERENCE_ERROR,
                                           .error = {.request_id = str_from(p->jobs[job].wire_id),
                                                     .error = str_from(text),
                                                     .status_code = status}});
}

void fake_provider_serve(struct fake_provider *p, size_t job, int64_t prompt, int64_t completion)
{
    fake_provider_accept(p, job, prompt);
    fake_provider_role(p, job);
    fake_provider_text(p, job, "Hello", 1);
    fake_provider_text(p, job, " world", completion - 1);
    fake_provider_finish(p, job);
    fake_provider_usage(p, job, prompt, completion);
    fake_provider_complete(p, job, prompt, completion);
}
