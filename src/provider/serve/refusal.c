/* SPDX-License-Identifier: Apache-2.0 */
#include "provider/serve/refusal.h"

static const struct {
    int code;
    enum api_error_id id;
    const char *param, *text;
} refusals[] = {
    {ERR_LIMIT, API_CONTEXT_LENGTH, "messages", "the prompt does not fit this provider's context"},
    {ERR_PARSE, API_BAD_VALUE, "messages", "the model's template cannot render these messages"},
    {ERR_BUSY, API_OVERLOADED, NULL, "this provider's queue is full; try another"},
    {ERR_NOMEM, API_OVERLOADED, NULL, "this provider is out of memory; try another"},
};

int refusal_of(int code, struct api_error *ret_error)
{
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++)
        if (refusals[i].code == code)
            return api_error_set(ret_error, refusals[i].id, refusals[i].param, "%s",
                                 refusals[i].text);
    return api_error_set(ret_error, API_INTERNAL, NULL, "this provider's engine failed");
}
