/* SPDX-License-Identifier: Apache-2.0 */
/* Errors as a consumer sees them, in OpenAI's form with all of message, type, code and param. The
 * table is api_errors.def: name, HTTP status, type, code, whether a client may retry. */
#ifndef DARKBLOOM_PROTO_API_ERROR_H
#define DARKBLOOM_PROTO_API_ERROR_H

#include "base/buf.h"
#include "base/err.h"

enum api_error_id {
    API_OK, /* no error */
#define API_ERROR(name, status, type, code) API_##name,
#include "proto/api_errors.def"
#undef API_ERROR
    API_ERROR_COUNT
};

struct api_error {
    enum api_error_id id;
    int status; /* HTTP; from the table unless the caller sets another */
    char message[320];
    char param[64];    /* "" means null */
    char code[64];     /* from the table */
    int retry_after_s; /* > 0: Retry-After header */
    /* Of a provider's CONTEXT_LENGTH, which sends them as numbers; 0: not known. */
    int64_t prompt_tokens, context_tokens;
};

/* Fill from the table; `param` may be NULL. Returns ERR_DENIED (never 0) so that callers write
 * `return api_error_set(...)`. */
int api_error_set(struct api_error *ret_error, enum api_error_id id, const char *param,
                  const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* {"error":{"message":…,"type":…,"param":…|null,"code":…}} */
int api_error_write(const struct api_error *e, struct buf *out);

#endif
