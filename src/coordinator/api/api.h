/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP surface: tables of routes. Inference goes to flow/, providers to registry/, the rest is
 * answered here. Loop's thread. */
#ifndef DARKBLOOM_COORDINATOR_API_API_H
#define DARKBLOOM_COORDINATOR_API_API_H

#include "coordinator/coord.h"

/* The HTTP server's callbacks; `ud` is the struct coord. */
extern const struct http_server_ops api_server_ops;

struct api_route {
    struct str method, path; /* a last '*' stands for anything but nothing */
    struct str allow;        /* the Allow header of a 405 */
    void (*handle)(struct coord *c, struct http_exchange *x); /* NULL ends the table */
    bool while_draining;                                      /* otherwise 503 then */
    /* Of a request with a body, before that comes: as http_server_ops.on_head. NULL: let it. */
    int (*on_head)(struct coord *c, struct http_exchange *x, const char **ret_why);
    bool (*may)(struct coord *c, struct http_exchange *x); /* false: it was answered; NULL: all */
};

#define API_ALLOW_GET  STR("GET, HEAD, OPTIONS")
#define API_ALLOW_POST STR("POST, OPTIONS")

/* Hand a request to its route, or answer 404, 405 with Allow, or 503 with Retry-After. */
void api_route_request(struct coord *c, const struct api_route *routes, struct http_exchange *x);

/* For every server of ours: what HTTP itself refuses, in the one form of errors. */
const char *api_on_reject(void *ud, int status, const char *why, struct buf *ret_body);
size_t api_reject_headers(void *ud, int status, const struct http_request *req,
                          struct http_header *ret_headers);

/* GET /health: the process runs. GET /ready: it should get work (api/ready.h). GET /v1/models, and
 * one of them by its id. */
void api_health(struct coord *c, struct http_exchange *x);
void api_ready(struct coord *c, struct http_exchange *x);
void api_models(struct coord *c, struct http_exchange *x);
void api_model(struct coord *c, struct http_exchange *x);

/* GET /ws/provider, a well-formed upgrade: on the loop that has the fewest providers. */
void api_seat_provider(struct coord *c, struct http_exchange *x);

#endif
