/* SPDX-License-Identifier: Apache-2.0 */
/* The body of POST /v1/chat/completions: parsed and checked the same way at both ends (the
 * coordinator before it takes money, the provider after it opened the envelope), and rewritten for
 * the provider by splicing, so that what nobody needs to understand passes through untouched. */
#ifndef DARKBLOOM_PROTO_CHAT_H
#define DARKBLOOM_PROTO_CHAT_H

#include "base/arena.h"
#include "proto/api_error.h"

enum {
    CHAT_MAX_STOPS = 16,
    CHAT_MAX_STOP_BYTES = 1024,
    CHAT_DEFAULT_MAX_TOKENS = 8192,
    CHAT_MAX_MODEL_BYTES = 256,
    CHAT_MAX_TOP_LOGPROBS = 20,
    CHAT_MAX_BIASES = 1024
};
#define CHAT_MAX_TOKENS_LIMIT 10000000 /* a larger max_tokens is refused with invalid_value */

/* An entry of logit_bias. */
struct chat_bias {
    int32_t token; /* >= 0; whether the model has it is the engine's to say */
    float add;     /* [-100, 100], to the token's logit */
};

struct chat_request {
    struct str body; /* all of it, as it was parsed */
    struct str model;
    struct str messages; /* span of the array in the body */
    size_t n_messages;
    size_t null_contents; /* of an assistant that calls nothing; forwarded as "" (R18) */
    size_t prompt_bytes;  /* upper bound of the prompt's text bytes: the bytes of `messages` and of
                             `tools`, `functions`, `response_format` where present */
    bool stream;          /* stream === true */
    bool include_usage;   /* stream_options.include_usage === true */
    int64_t max_tokens; /* smallest of max_tokens, max_completion_tokens and max_output_tokens that
                           is present; 0: none given */
    double temperature; /* [0, 2]; default 1 */
    double top_p;       /* [0, 1]; default 1; 0: the likeliest token alone */
    int64_t top_k;      /* >= 0; 0: off */
    double min_p;       /* [0, 1]; 0: off; least probability, as a share of the likeliest token's */
    double frequency_penalty, presence_penalty; /* [-2, 2] */
    double repetition_penalty;                  /* (0, 2]; 1: off */
    bool has_seed;
    int64_t seed;
    struct str stops[CHAT_MAX_STOPS]; /* unescaped, in the region */
    size_t n_stops;
    bool logprobs;
    int64_t top_logprobs;           /* [0, CHAT_MAX_TOP_LOGPROBS]; 0 without logprobs */
    const struct chat_bias *biases; /* in the region */
    size_t n_biases;
    /* Spans of JSON in the body, for the model's template and grammar; .p NULL: absent or null. The
     * kinds are checked, what stands inside is the engine's to look at. */
    struct str tools;            /* an array; .p NULL also where it is empty */
    struct str tool_choice;      /* "none", "auto", "required" or an object */
    struct str response_format;  /* an object of type json_object or json_schema */
    struct str schema;           /* of json_schema: its schema, an object */
    struct str template_kwargs;  /* chat_template_kwargs, an object */
    struct str reasoning_effort; /* a string */
    bool no_parallel_calls;      /* parallel_tool_calls === false */
    /* What the coordinator passes through and an engine of text must refuse: the first calls or
     * part other than text, as "messages[0].content[1]", or the first field that asks for more
     * (proto/beyond_text.h); NULL: none. */
    const char *beyond_text;
};

/* Parse and check. Refused with a text that names the field, the limit and the way out: not JSON /
 * not an object / invalid UTF-8; model missing, empty or too long; messages missing, not an array,
 * empty; a message that is no object, without a role, with a role other than system, developer,
 * user, assistant, tool, function; content of a wrong type (string, array of parts with a type, or
 * null from an assistant); numbers of a wrong type or out of range (max_tokens 0, negative, over
 * the limit); stream_options.include_usage not a bool; n other than 1; more than CHAT_MAX_STOPS
 * stops or one that is empty or longer than CHAT_MAX_STOP_BYTES; stream, logprobs or
 * parallel_tool_calls not a bool; top_logprobs without logprobs; tools, tool_choice,
 * response_format, logit_bias or chat_template_kwargs of a wrong kind; user not a string; a member
 * that stands twice in a message or a part of one, or whose name is written with escapes; more than
 * 128 fields or nesting deeper than SPAN_MAX_DEPTH. Nulls count as absent. Unknown fields pass.
 * Duplicate top-level keys are refused (what is priced must be what is forwarded). 0 or ERR_DENIED
 * with *ret_error. Strings live in `region` or point into `body`. Time is linear in the body's
 * bytes, whatever is in it; no tree and no copy of the prompt is made. */
int chat_request_parse(struct str body, struct arena *region, struct chat_request *ret_request,
                       struct api_error *ret_error);

/* Append the body for the provider: the original with every token-limit field removed,
 * "max_tokens":N added and null contents as ""; all other bytes unchanged. `r` is what the body was
 * parsed to. 0, ERR_LIMIT, ERR_NOMEM, ERR_PARSE. */
int chat_request_rewrite(const struct chat_request *r, struct str body, int64_t max_tokens,
                         struct buf *out);

#endif
