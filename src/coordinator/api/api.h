/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP surface: one table of routes. Inference goes to flow/, providers to registry/, the rest
 * is answered here. */
#ifndef DARKBLOOM_COORDINATOR_API_API_H
#define DARKBLOOM_COORDINATOR_API_API_H

#include "coordinator/coord.h"

/* The HTTP server's callbacks; `ud` is the struct coord. */
extern const struct http_server_ops api_server_ops;

/* GET /health and GET /v1/models. */
void api_health(struct coord *c, struct http_exchange *x);
void api_models(struct coord *c, struct http_exchange *x);

#endif
