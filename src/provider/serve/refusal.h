/* SPDX-License-Identifier: Apache-2.0 */
/* What the engine's error codes mean to a consumer. */
#ifndef DARKBLOOM_PROVIDER_SERVE_REFUSAL_H
#define DARKBLOOM_PROVIDER_SERVE_REFUSAL_H

#include "proto/api_error.h"

/* `code` as engine_port.h's submit returns it or a FAILED event carries it, with the event's
 * `prompt_tokens` (0: not counted). ERR_DENIED with *ret_error, whose texts are constant but for
 * these numbers. */
int refusal_of(int code, int64_t prompt_tokens, int64_t context_tokens,
               struct api_error *ret_error);

#endif
