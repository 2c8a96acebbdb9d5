/* SPDX-License-Identifier: Apache-2.0 */
/* Whose a request is, found out at its head: no body is read for a key that is not known (findings
 * L2). Loop's thread. */
#ifndef DARKBLOOM_COORDINATOR_API_GATEHOUSE_H
#define DARKBLOOM_COORDINATOR_API_GATEHOUSE_H

#include "coordinator/coord.h"

/* As http_server_ops.on_head, of a route that needs a key. A known key lets the body come at once;
 * one that is not in memory waits for the store (HTTP_HEAD_WAIT), and then is let in or refused:
 * 401 (not known), 429 (too many unknown ones from its address), 400 (two keys), 503 (the store
 * fails, or the coordinator stops). The handler of a request that was let in finds its struct
 * account in http_ud; NULL there: the request has no body, and was not asked. */
int gatehouse_on_head(struct coord *c, struct http_exchange *x, const char **ret_why);

#endif
