/* SPDX-License-Identifier: Apache-2.0 */
/* What a request may not ask for here. A field that would change the answer and that this engine
 * cannot honour is refused by name, never dropped in silence. */
#ifndef DARKBLOOM_PROVIDER_SERVE_SUPPORT_H
#define DARKBLOOM_PROVIDER_SERVE_SUPPORT_H

#include "proto/api_error.h"

/* Look at the top-level members of an opened body. 0 when each is honoured, neutral, or not one
 * that matters here (also when the body is no JSON object: the parser says that better); else
 * ERR_DENIED with *ret_error, whose texts are constant. */
int support_check(struct str body, struct api_error *ret_error);

#endif
