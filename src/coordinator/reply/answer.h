/* SPDX-License-Identifier: Apache-2.0 */
/* Answers in one piece, with the headers that every answer has (CORS, trace id): JSON, and the one
 * form of errors. Each ends its exchange. */
#ifndef DARKBLOOM_COORDINATOR_REPLY_ANSWER_H
#define DARKBLOOM_COORDINATOR_REPLY_ANSWER_H

#include "coordinator/coord.h"
#include "net/http1.h"
#include "proto/api_error.h"

enum { ANSWER_MAX_MORE = 4 };

/* The request's trace id: the consumer's own (X-Request-Id) where it can be echoed and logged, or
 * `otherwise`. */
void answer_trace_id(struct str given, const char *otherwise,
                     char ret_id[static ANSWER_TRACE_ID_MAX_BYTES + 1]);

void answer_json(struct coord *c, struct http_exchange *x, int status, struct str body);
/* With Retry-After where `e` says when, or is 503. `trace_id` NULL: the consumer's, or a fresh one;
 * `more` is one more header, .name empty: none. */
void answer_error(struct coord *c, struct http_exchange *x, const char *trace_id,
                  const struct api_error *e, struct http_header more);
void answer_no_memory(struct coord *c, struct http_exchange *x);

/* For the HTTP server's rejections, as c->rejection says or else the status: the body, and then its
 * headers (room for REPLY_MAX_HEADERS; values live until the next call), with which the rejection
 * is used up; `req` is NULL where there is no whole head. */
void answer_rejection(const struct coord *c, int status, const char *why, struct buf *ret_body);
size_t answer_rejection_headers(struct coord *c, int status, const struct http_request *req,
                                struct http_header *ret_headers);

#endif
