/* SPDX-License-Identifier: Apache-2.0 */
/* Answers in one piece: JSON, and errors in OpenAI's form, from whatever part they come. */
#include "coordinator/reply/answer.h"

#include <stdio.h>

#include "coordinator/coord.h"
#include "coordinator/reply/reply.h"

enum { ERROR_MAX_BYTES = 4096, UNAVAILABLE_RETRY_AFTER_S = 1, NUMBER_BYTES = 24 };

/* Printable ASCII only: it is echoed in a header and stands in logs. */
static bool answer_usable(struct str given)
{
    bool ok = given.n > 0 && given.n <= ANSWER_TRACE_ID_MAX_BYTES;

    for (size_t i = 0; ok && i < given.n; i++)
        ok = given.p[i] > ' ' && given.p[i] < 127;
    return ok;
}

void answer_trace_id(struct str given, const char *otherwise,
                     char ret_id[static ANSWER_TRACE_ID_MAX_BYTES + 1])
{
    struct str id = answer_usable(given) ? given : str_from(otherwise);

    snprintf(ret_id, ANSWER_TRACE_ID_MAX_BYTES + 1, "%.*s", STR_ARG(id));
}

static void answer_respond(struct coord *c, struct http_exchange *x, const char *trace_id,
                           int status, const struct http_header *more, size_t n_more,
                           struct str body)
{
    struct http_header headers[REPLY_MAX_HEADERS + ANSWER_MAX_MORE];
    char fresh[RAND_UUID_BYTES], taken[ANSWER_TRACE_ID_MAX_BYTES + 1];
    size_t n;

    if (!trace_id) {
        rand_uuid(&c->rand, fresh);
        answer_trace_id(http_header_get(http_request_of(x), "X-Request-Id"), fresh, taken);
        trace_id = taken;
    }
    n = reply_common_headers(c->settings, STR("application/json"), str_from(trace_id), headers);
    for (size_t i = 0; i < n_more && i < ANSWER_MAX_MORE; i++)
        headers[n++] = more[i];
    http_respond(x, status, headers, n, body);
}

void answer_json(struct coord *c, struct http_exchange *x, int status, struct str body)
{
    answer_respond(c, x, NULL, status, NULL, 0, body);
}

/* When to come again, where the error says so: all that is unavailable now will be again. */
static size_t answer_retry_headers(const struct coord *c, const struct api_error *e,
                                   char ret_after[static NUMBER_BYTES],
                                   char ret_reset[static NUMBER_BYTES],
                                   struct http_header *ret_headers)
{
    int after_s = e->retry_after_s > 0                   ? e->retry_after_s
                  : e->status == 503 || e->status == 429 ? UNAVAILABLE_RETRY_AFTER_S
                                                         : 0;

    if (after_s == 0)
        return 0;
    snprintf(ret_after, NUMBER_BYTES, "%d", after_s);
    snprintf(ret_reset, NUMBER_BYTES, "%lld",
             (long long)(clock_wall_us(&c->clock) / 1000000 + after_s));
    ret_headers[0] = (struct http_header){STR("Retry-After"), str_from(ret_after)};
    ret_headers[1] = (struct http_header){STR("X-RateLimit-Reset"), str_from(ret_reset)};
    return 2;
}

void answer_error(struct coord *c, struct http_exchange *x, const char *trace_id,
                  const struct api_error *e, struct http_header more)
{
    struct http_header headers[ANSWER_MAX_MORE];
    char after[NUMBER_BYTES], reset[NUMBER_BYTES];
    size_t n = answer_retry_headers(c, e, after, reset, headers);
    struct buf body;

    if (more.name.n > 0)
        headers[n++] = more;
    buf_init(&body, ERROR_MAX_BYTES);
    (void)api_error_write(e, &body);
    answer_respond(c, x, trace_id, e->status, headers, n, buf_view(&body));
    buf_free(&body);
}

void answer_no_memory(struct coord *c, struct http_exchange *x)
{
    struct api_error e = {0};

    api_error_set(&e, API_OVERLOADED, NULL, "the coordinator has no memory left; try again");
    answer_error(c, x, NULL, &e, (struct http_header){0});
}

/* --- what the HTTP layer refuses --- */

static const struct {
    int status;
    enum api_error_id id;
} rejections[] = {{401, API_AUTH},         {404, API_NOT_FOUND},      {405, API_METHOD},
                  {408, API_TIMEOUT_READ}, {413, API_BODY_TOO_LARGE}, {431, API_HEAD_TOO_LARGE},
                  {503, API_OVERLOADED}};

static void answer_rejection_of(const struct coord *c, int status, const char *why,
                                struct api_error *ret_error)
{
    enum api_error_id id = API_BAD_REQUEST;

    if (c->rejection.id != API_OK) {
        *ret_error = c->rejection;
        return;
    }
    for (size_t i = 0; i < sizeof rejections / sizeof rejections[0]; i++) {
        if (rejections[i].status == status)
            id = rejections[i].id;
    }
    api_error_set(ret_error, id, NULL, "%s", why);
}

void answer_rejection(const struct coord *c, int status, const char *why, struct buf *ret_body)
{
    struct api_error e = {0};

    answer_rejection_of(c, status, why, &e);
    (void)api_error_write(&e, ret_body);
}

size_t answer_rejection_headers(struct coord *c, int status, const struct http_request *req,
                                struct http_header *ret_headers)
{
    const struct str given = req ? http_header_get(req, "X-Request-Id") : (struct str){0};
    char fresh[RAND_UUID_BYTES];
    struct api_error e = {0};
    size_t n;

    answer_rejection_of(c, status, "", &e);
    rand_uuid(&c->rand, fresh);
    answer_trace_id(given, fresh, c->rejected_id);
    n = reply_common_headers(c->settings, (struct str){0}, str_from(c->rejected_id), ret_headers);
    n += answer_retry_headers(c, &e, c->rejected_after, c->rejected_reset, ret_headers + n);
    c->rejection.id = API_OK;
    return n;
}
