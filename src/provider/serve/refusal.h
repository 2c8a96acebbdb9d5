/* SPDX-License-Identifier: Apache-2.0 */
/* Why a request is not run, in the closed codes of proto/provider_errors.def (FR-46). Both ends
 * share that table: the words that leave with a code are its sentence, so none of them can hold
 * text of a prompt. */
#ifndef DARKBLOOM_PROVIDER_SERVE_REFUSAL_H
#define DARKBLOOM_PROVIDER_SERVE_REFUSAL_H

#include "proto/provider_error.h"
#include "provider/engine/engine_port.h"

/* X(name, HTTP status, code, parameter, class that the coordinator's table gives them) */
#define REFUSAL_TABLE(X)                                                           \
    X(DRAINING, 503, "draining", "", REFUSED_LOAD)                                 \
    X(ALL_PLACES_TAKEN, 503, "no_capacity", "", REFUSED_LOAD)                      \
    X(QUEUE_FULL, 503, "queue_full", "", REFUSED_LOAD)                             \
    X(NO_MEMORY, 503, "overloaded", "", REFUSED_LOAD)                              \
    X(MODEL_LOADING, 503, "model_loading", "", REFUSED_LOAD)                       \
    X(ENGINE_ENDED, 500, "engine_ended", "", FAULT)                                \
    X(DEADLY, 422, "prompt_ends_engine", "messages", REQUEST_FAULT)                \
    X(ENVELOPE, 400, "invalid_request_error", "encrypted_body", FAULT)             \
    X(REQUEST_ID, 400, "invalid_request_error", "request_id", FAULT)               \
    X(OTHER_MODEL, 404, "model_not_found", "model", FAULT)                         \
    X(ENGINE, 500, "internal_error", "", FAULT)                                    \
    X(TOO_LONG, 400, "context_length_exceeded", "messages", REQUEST_FAULT)         \
    X(RUN_TOO_LONG, 400, "run_too_long", "messages", REQUEST_FAULT)                \
    X(MESSAGES, 400, "invalid_value", "messages", REQUEST_FAULT)                   \
    X(TOOLS, 400, "invalid_value", "tools", REQUEST_FAULT)                         \
    X(TOOL_SCHEMA, 400, "schema_limits", "tools", REQUEST_FAULT)                   \
    X(TOOL_CHOICE, 400, "invalid_value", "tool_choice", REQUEST_FAULT)             \
    X(NO_TOOLS, 400, "tools_unknown", "tools", REQUEST_FAULT)                      \
    X(KWARGS, 400, "invalid_value", "chat_template_kwargs", REQUEST_FAULT)         \
    X(SCHEMA, 400, "schema_unusable", "response_format", REQUEST_FAULT)            \
    X(SCHEMA_SIZE, 400, "schema_size", "response_format", REQUEST_FAULT)           \
    X(SCHEMA_DEPTH, 400, "schema_depth", "response_format", REQUEST_FAULT)         \
    X(SCHEMA_REPEATS, 400, "schema_repeats", "response_format", REQUEST_FAULT)     \
    X(SCHEMA_REFERENCE, 400, "schema_reference", "response_format", REQUEST_FAULT) \
    X(SCHEMA_PATTERN, 400, "schema_pattern", "response_format", REQUEST_FAULT)     \
    X(SCHEMA_WORD, 400, "schema_word", "response_format", REQUEST_FAULT)           \
    X(GRAMMAR_SLOW, 400, "grammar_slow", "response_format", REQUEST_FAULT)         \
    X(LOGIT_BIAS, 400, "invalid_value", "logit_bias", REQUEST_FAULT)

enum refusal {
#define REFUSAL_ENUM(name, status, code, param, class) REFUSAL_##name,
    REFUSAL_TABLE(REFUSAL_ENUM)
#undef REFUSAL_ENUM
        REFUSAL_COUNT
};

/* Each sets *ret_error whole and returns ERR_DENIED. */

int refusal_set(struct api_error *ret_error, enum refusal why);
/* The request asks for what this provider does not do, in the parameter of that name. */
int refusal_unsupported(struct api_error *ret_error, const char *param);
/* What chat_request_parse found: its code and its parameter, if that is one of the table. */
int refusal_of_parse(const struct api_error *found, struct api_error *ret_error);
/* What the engine found wrong with the request. */
int refusal_of_wrong(enum engine_wrong wrong, struct api_error *ret_error);
/* `code` as engine_port.h's submit returns it or a FAILED event carries it, with the event's
 * `prompt_tokens` (0: not counted). */
int refusal_of_engine(int code, int64_t prompt_tokens, int64_t context_tokens,
                      struct api_error *ret_error);

#endif
