/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP surface: one table of routes. Inference goes to flow/, providers to registry/, the rest
 * is answered here. */
#ifndef DARKBLOOM_COORDINATOR_API_API_H
#define DARKBLOOM_COORDINATOR_API_API_H

#include "coordinator/coord.h"
#include "proto/api_error.h"

/* The HTTP server's callbacks; `ud` is the struct coord. */
extern const struct http_server_ops api_server_ops;

/* GET /health and GET /v1/models. */
void api_health(struct coord *c, struct http_exchange *x);
void api_models(struct coord *c, struct http_exchange *x);

/* Answer with a JSON body and the common headers; ends the exchange. */
void api_error_answer(struct coord *c, struct http_exchange *x, const struct api_error *e);
void api_json(struct coord *c, struct http_exchange *x, int status, struct str body);

#endif
