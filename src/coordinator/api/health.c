/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/api/api.h"

#include <stdio.h>

#include "coordinator/registry/registry.h"
#include "coordinator/reply/answer.h"

void api_health(struct coord *c, struct http_exchange *x)
{
    char body[128];
    int n =
        snprintf(body, sizeof body, "{\"providers\":%zu,\"status\":\"%s\"}\n",
                 registry_provider_count_everywhere(c->registry), c->draining ? "draining" : "ok");

    answer_json(c, x, 200, (struct str){body, (size_t)n});
}
