/* SPDX-License-Identifier: Apache-2.0 */
/* What leaves for a job. */
#include "provider/serve/answer.h"

#include "proto/sealed_msg.h"
#include "provider/serve/serve_impl.h"

/* --- sealed chunks --- */

/* Seal the line in s->line straight into the socket's output; it stands for `tokens` completion
 * tokens. */
static int answer_send_line(struct job *j, int64_t tokens)
{
    struct serve *s = j->serve;
    struct str line = buf_view(&s->line);
    struct str key = str_from(box_session_public_b64(j->session));
    size_t sealed_n = box_sealed_len(line.n);
    size_t n = msg_chunk_size(job_id(j), key, sealed_n, tokens);
    char *frame = link_send_begin(s->link, n);
    char *sealed;

    if (!frame)
        return ERR_CLOSED;
    sealed = msg_chunk_write(job_id(j), key, sealed_n, tokens, frame);
    if (box_seal(j->session, line, sealed) < 0) {
        /* A frame that was begun cannot be taken back, and must not leave half-filled. */
        link_drop(s->link, ERR_NOMEM, "a chunk could not be sealed");
        return ERR_CLOSED;
    }
    link_send_end(s->link, frame, n);
    return 0;
}

/* A line that could not be written (no memory) ends the connection: the answer has a hole. */
static int answer_line_failed(struct job *j, int rc)
{
    link_drop(j->serve->link, rc, "a chunk could not be written");
    return ERR_CLOSED;
}

static int answer_send_role(struct job *j)
{
    struct serve *s = j->serve;
    int rc;

    if (j->role_sent)
        return 0;
    j->role_sent = true;
    buf_clear(&s->line);
    rc = chunk_write_role(&j->head, &s->line);
    return rc < 0 ? answer_line_failed(j, rc) : answer_send_line(j, 0);
}

/* Completion tokens that no chunk has stood for yet; the next one does. */
static int64_t answer_unsent_tokens(struct job *j)
{
    int64_t tokens = j->completion_tokens - j->sent_tokens;

    j->sent_tokens = j->completion_tokens;
    return tokens;
}

/* A token may be part of a character: it counts with the next text, or the end. */
static int answer_send_text(struct job *j)
{
    struct serve *s = j->serve;
    struct chunk_delta delta;
    int rc = 0;

    while (rc == 0 && parts_take(&j->answer, &delta)) {
        buf_clear(&s->line);
        rc = chunk_write_delta(&j->head, &delta, &s->line);
        rc = rc < 0 ? answer_line_failed(j, rc) : answer_send_line(j, answer_unsent_tokens(j));
    }
    return rc;
}

static int answer_send_finish(struct job *j)
{
    struct serve *s = j->serve;
    int rc;

    buf_clear(&s->line);
    rc =
        chunk_write_finish_logprobs(&j->head, j->finish, parts_take_logprobs(&j->answer), &s->line);
    return rc < 0 ? answer_line_failed(j, rc) : answer_send_line(j, answer_unsent_tokens(j));
}

static int answer_send_usage(struct job *j)
{
    struct serve *s = j->serve;
    int rc;

    if (!j->include_usage)
        return 0;
    buf_clear(&s->line);
    rc = chunk_write_usage(&j->head, j->prompt_tokens, j->completion_tokens, &s->line);
    return rc < 0 ? answer_line_failed(j, rc) : answer_send_line(j, 0);
}

static int answer_send_done(struct job *j)
{
    struct serve *s = j->serve;
    int rc;

    buf_clear(&s->line);
    rc = buf_append_str(&s->line, STR("data: [DONE]"));
    return rc < 0 ? answer_line_failed(j, rc) : answer_send_line(j, 0);
}

static int answer_write_whole(struct job *j, struct buf *work)
{
    struct chunk_call calls[PARTS_MAX_CALLS];
    struct chunk_message m;
    int rc = parts_join(&j->answer, work, calls, &m);

    return rc < 0 ? rc
                  : chunk_write_whole(&j->head, &m, j->finish, j->prompt_tokens,
                                      j->completion_tokens, &j->serve->line);
}

static int answer_send_whole(struct job *j)
{
    struct buf work;
    int rc;

    buf_clear(&j->serve->line);
    buf_init(&work, PARTS_TEXT_MAX_BYTES);
    rc = answer_write_whole(j, &work);
    buf_wipe(&work);
    buf_free(&work);
    return rc < 0 ? answer_line_failed(j, rc) : answer_send_line(j, j->completion_tokens);
}

/* What a stream sends after its last text, in order. */
static int (*const stream_end[])(struct job *j) = {
    answer_send_role, answer_send_text, answer_send_finish, answer_send_usage, answer_send_done};

int answer_text(struct job *j, bool whatever_the_socket)
{
    int rc;

    if (!j->stream)
        return 0;
    if (!whatever_the_socket && link_pending(j->serve->link) > ANSWER_BACKED_UP_BYTES)
        return 0;
    rc = answer_send_role(j);
    return rc < 0 ? rc : answer_send_text(j);
}

int answer_finish(struct job *j)
{
    int rc = 0;

    if (!j->stream)
        rc = answer_send_whole(j);
    for (size_t i = 0; rc == 0 && j->stream && i < sizeof stream_end / sizeof stream_end[0]; i++)
        rc = stream_end[i](j);
    return rc;
}

/* --- plain messages --- */

/* A message that cannot even be encoded leaves the coordinator waiting: the connection goes. */
static int answer_send_plain(struct serve *s, const struct provider_msg *msg)
{
    int rc = link_send(s->link, msg);

    if (rc < 0 && rc != ERR_CLOSED)
        link_drop(s->link, rc, "a message could not be encoded");
    return rc;
}

int answer_accepted(struct job *j)
{
    struct provider_msg msg = {
        .type = MSG_INFERENCE_ACCEPTED,
        .accepted = {.request_id = job_id(j), .prompt_tokens = j->prompt_tokens}};

    return answer_send_plain(j->serve, &msg);
}

int answer_complete(struct job *j, struct str signature)
{
    struct provider_msg msg = {.type = MSG_INFERENCE_COMPLETE,
                               .complete = {.request_id = job_id(j),
                                            .usage = {.prompt_tokens = j->prompt_tokens,
                                                      .completion_tokens = j->completion_tokens},
                                            .se_signature = signature,
                                            .response_hash = str_from(j->hash)}};

    return answer_send_plain(j->serve, &msg);
}

int answer_error(struct serve *s, struct str request_id, const struct api_error *error)
{
    struct provider_msg msg = {.type = MSG_INFERENCE_ERROR,
                               .error = {.request_id = request_id,
                                         .error = str_from(error->message),
                                         .status_code = error->status,
                                         .code = str_from(error->code),
                                         .prompt_tokens = PROTO_UNSET,
                                         .context_tokens = PROTO_UNSET}};

    if (error->param[0])
        msg.error.param = str_from(error->param);
    if (error->prompt_tokens > 0)
        msg.error.prompt_tokens = error->prompt_tokens;
    if (error->context_tokens > 0)
        msg.error.context_tokens = error->context_tokens;
    return answer_send_plain(s, &msg);
}
