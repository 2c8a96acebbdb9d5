/* SPDX-License-Identifier: Apache-2.0 */
/* Stage 1: accept, parse, bound. The body's size was bounded by the HTTP server. What is wrong with
 * the body is told only to callers with a valid key: auth reports it. */
#include "coordinator/flow/flow.h"

/* The least trust level: the coordinator's own, or a higher one that the consumer demands. */
static int enter_take_min_trust(struct request *r)
{
    enum trust_level level;
    struct str demanded;

    r->min_trust = (enum trust_level)r->coord->settings->min_trust;
    if (request_header(r, "X-Min-Trust-Level", &demanded) < 0)
        return ERR_DENIED;
    if (!demanded.p)
        return 0;
    if (trust_parse(demanded, &level) < 0)
        return api_error_set(&r->error, API_BAD_VALUE, "X-Min-Trust-Level",
                             "X-Min-Trust-Level must be none, self_signed, hardware_virtual or "
                             "hardware");
    if (level > r->min_trust)
        r->min_trust = level;
    return 0;
}

/* A stream's receipt is an event of its own, which is sent only to who asks for it. */
static int enter_take_receipt(struct request *r)
{
    struct str asked;

    if (request_header(r, "X-Darkbloom-Receipt", &asked) < 0)
        return ERR_DENIED;
    if (!asked.p || str_is(asked, "0"))
        return 0;
    if (!str_is(asked, "1"))
        return api_error_set(&r->error, API_BAD_VALUE, "X-Darkbloom-Receipt",
                             "X-Darkbloom-Receipt must be 1 (send the receipt) or 0");
    r->reply.include_receipt = true;
    return 0;
}

static int enter_parse(struct request *r)
{
    int rc = chat_request_parse(r->body, &r->region, &r->chat, &r->error);

    if (rc == 0)
        rc = enter_take_min_trust(r);
    if (rc == 0)
        rc = enter_take_receipt(r);
    return rc;
}

enum flow_verdict flow_enter(struct request *r)
{
    const struct http_request *req = http_request_of(r->reply.x);

    answer_trace_id(http_header_get(req, "X-Request-Id"), r->id, r->trace_id);
    r->body = req->body;
    if (enter_parse(r) == 0 && r->chat.stream)
        r->reply.ops = &reply_chat_stream;
    r->reply.request_id = r->id;
    r->reply.trace_id = r->trace_id;
    r->reply.model = r->chat.model;
    r->reply.include_usage = r->chat.include_usage;
    r->times.entered = clock_mono_us(&r->coord->clock);
    r->reply.timing.parse_us = r->times.entered - r->times.received;
    return FLOW_NEXT;
}
