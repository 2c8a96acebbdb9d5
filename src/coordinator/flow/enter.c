/* SPDX-License-Identifier: Apache-2.0 */
/* Stage 1: accept, parse, bound. The body's size was bounded by the HTTP server. What is wrong with
 * the body is told only to callers with a valid key: auth reports it. */
#include "coordinator/flow/flow.h"

/* The least trust level: the coordinator's own, or a higher one that the consumer demands. */
static int take_min_trust(struct request *r, struct str demanded)
{
    r->min_trust = (enum trust_level)r->coord->settings->min_trust;
    if (demanded.p) {
        enum trust_level level;

        if (trust_parse(demanded, &level) < 0)
            return api_error_set(&r->error, API_BAD_VALUE, "X-Min-Trust-Level",
                                 "X-Min-Trust-Level must be none, self_signed, hardware_virtual or "
                                 "hardware");
        if (level > r->min_trust)
            r->min_trust = level;
    }
    return 0;
}

enum flow_verdict flow_enter(struct request *r)
{
    const struct http_request *req = http_request_of(r->x);

    r->times.received = req->received_us;
    answer_trace_id(http_header_get(req, "X-Request-Id"), r->id, r->trace_id);
    r->body = req->body;
    r->reply = &reply_chat_whole;
    if (chat_request_parse(r->body, &r->region, &r->chat, &r->error) == 0 &&
        take_min_trust(r, http_header_get(req, "X-Min-Trust-Level")) == 0 && r->chat.stream)
        r->reply = &reply_chat_stream;
    r->times.entered = clock_mono_us(&r->coord->clock);
    return FLOW_NEXT;
}
