/* SPDX-License-Identifier: Apache-2.0 */
/* What a provider's inference_error means: whose fault it is, whether another provider is tried,
 * and what the consumer reads. Closed codes (FR-46): the message's `error` text is never looked at,
 * and nothing of `code` and `param` is passed on but words of provider_errors.def. Any thread. */
#ifndef DARKBLOOM_PROTO_PROVIDER_ERROR_H
#define DARKBLOOM_PROTO_PROVIDER_ERROR_H

#include "proto/api_error.h"
#include "proto/provider_msg.h"

enum provider_error_class {
    /* The request is wrong, for every provider: final, nobody's health suffers (FR-39). */
    PROVIDER_REQUEST_FAULT,
    /* No room or no time now: tried elsewhere, never held against health or reputation (FR-7). */
    PROVIDER_REFUSED_LOAD,
    /* Everything else, unknown words and statuses included: tried elsewhere and counted (R1). */
    PROVIDER_FAULT,
};

/* No number that a provider names is larger: a prompt's or a context's tokens. */
enum { PROVIDER_ERROR_TOKENS_MAX = 100000000 };

struct provider_verdict {
    enum provider_error_class class;
    const char *reason; /* for log and metric: a code of the table, "status_400" …, or "other" */
    struct api_error error; /* for the consumer, whole; used if no other provider answers */
};

/* Sets *ret_verdict; nothing in it points into `m`. A code of the table decides, except that one
 * which makes the request at fault needs a status (400, 413, 422) that says the same; otherwise the
 * status decides alone. With "context_length_exceeded", the message's own numbers of tokens, when
 * they are from 1 to PROVIDER_ERROR_TOKENS_MAX, stand in the sentence. */
void provider_error_judge(const struct msg_inference_error *m,
                          struct provider_verdict *ret_verdict);

/* "request_fault", "refused_load", "provider_fault". */
const char *provider_error_class_name(enum provider_error_class class);

#endif
