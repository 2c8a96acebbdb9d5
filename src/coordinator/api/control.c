/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/api/control.h"

#include <stdlib.h>
#include <unistd.h>

#include "coordinator/api/admin.h"
#include "coordinator/api/api.h"

enum { CONTROL_CONNECTIONS = 16, CONTROL_BODY_BYTES = 4096 };

struct control {
    struct http_server *server;
    char path[SETTINGS_CONTROL_BYTES];
};

static const struct api_route control_routes[] = {
    {STR("GET"), STR("/v1/admin/providers"), API_ALLOW_GET, admin_providers, true, NULL, NULL},
    {STR("POST"), STR("/v1/admin/providers/forgive"), API_ALLOW_POST, admin_forgive, true, NULL,
     NULL},
    {STR("GET"), STR("/v1/admin/routing/explain"), API_ALLOW_GET, admin_explain, true, NULL, NULL},
    {STR("GET"), STR("/ready"), API_ALLOW_GET, api_ready, true, NULL, NULL},
    {STR("GET"), STR("/health"), API_ALLOW_GET, api_health, true, NULL, NULL},
    {.handle = NULL},
};

static void control_on_request(void *ud, struct http_exchange *x)
{
    api_route_request(ud, control_routes, x);
}

static const struct http_server_ops control_ops = {.on_request = control_on_request,
                                                   .on_reject = api_on_reject,
                                                   .reject_headers = api_reject_headers};

int control_new(struct coord *c, struct control **ret_control, struct err *ret_err)
{
    const struct http_server_config config = {.max_connections = CONTROL_CONNECTIONS,
                                              .max_body_bytes = CONTROL_BODY_BYTES,
                                              .out_max_bytes = ADMIN_MAX_BYTES + (64 << 10)};
    char path[SETTINGS_CONTROL_BYTES];
    struct control *control;
    int sock;
    int rc = settings_control_path(c->settings, path, ret_err);

    *ret_control = NULL;
    if (rc < 0 || path[0] == '\0')
        return rc;
    rc = loop_listen_path(path, &sock, ret_err);
    if (rc < 0)
        return rc;
    control = calloc(1, sizeof *control);
    if (!control) {
        loop_close(c->loop, sock);
        return ERR_NOMEM;
    }
    memcpy(control->path, path, sizeof path);
    rc = http_server_new(c->loop, sock, &config, &control_ops, c, &control->server);
    if (rc < 0) {
        free(control);
        return rc;
    }
    *ret_control = control;
    return 0;
}

void control_free(struct control *control)
{
    if (!control)
        return;
    http_server_free(control->server);
    (void)unlink(control->path);
    free(control);
}
