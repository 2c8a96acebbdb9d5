/* SPDX-License-Identifier: Apache-2.0 */
#include "provider/serve/refusal.h"

static const struct {
    int code;
    enum api_error_id id;
    const char *param, *text;
} refusals[] = {
    {ERR_PARSE, API_BAD_VALUE, "messages", "the model's template cannot render these messages"},
    {ERR_BUSY, API_OVERLOADED, NULL, "this provider's queue is full; try another"},
    {ERR_NOMEM, API_OVERLOADED, NULL, "this provider is out of memory; try another"},
};

/* The answer needs room for a token at least. */
static int refusal_too_long(int64_t prompt_tokens, int64_t context_tokens,
                            struct api_error *ret_error)
{
    if (prompt_tokens > 0)
        (void)api_error_set(ret_error, API_CONTEXT_LENGTH, "messages",
                            "the prompt has %lld tokens, and this provider's context holds %lld "
                            "with the answer; shorten the messages",
                            (long long)prompt_tokens, (long long)context_tokens);
    else
        (void)api_error_set(ret_error, API_CONTEXT_LENGTH, "messages",
                            "the prompt has more tokens than this provider's context holds, which "
                            "is %lld with the answer; shorten the messages",
                            (long long)context_tokens);
    ret_error->prompt_tokens = prompt_tokens;
    ret_error->context_tokens = context_tokens;
    return ERR_DENIED;
}

int refusal_of(int code, int64_t prompt_tokens, int64_t context_tokens, struct api_error *ret_error)
{
    if (code == ERR_LIMIT)
        return refusal_too_long(prompt_tokens, context_tokens, ret_error);
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        if (refusals[i].code == code)
            return api_error_set(ret_error, refusals[i].id, refusals[i].param, "%s",
                                 refusals[i].text);
    }
    return api_error_set(ret_error, API_INTERNAL, NULL, "this provider's engine failed");
}
