/* SPDX-License-Identifier: Apache-2.0 */
/* The control socket (setting admin.socket): /v1/admin/, /ready and /health for whoever
 * may open the file, which is the coordinator's own user. For the command line, without a key and
 * without a port. Loop's thread. */
#ifndef DARKBLOOM_COORDINATOR_API_CONTROL_H
#define DARKBLOOM_COORDINATOR_API_CONTROL_H

#include "base/err.h"

struct control;
struct coord;

/* *ret_control is NULL where the settings say that there is none. */
int control_new(struct coord *c, struct control **ret_control, struct err *ret_err);
/* Also removes the file. NULL is allowed. */
void control_free(struct control *control);

#endif
