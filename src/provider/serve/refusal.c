/* SPDX-License-Identifier: Apache-2.0 */
#include "provider/serve/refusal.h"

#include <stdio.h>

static const struct refusal_row {
    int status;
    const char *code, *param;
} refusal_rows[] = {
#define REFUSAL_ROW(name, status_, code_, param_, class) \
    [REFUSAL_##name] = {status_, code_, param_},
    REFUSAL_TABLE(REFUSAL_ROW)
#undef REFUSAL_ROW
};

/* The sentence of its code. Of a parameter that the parser named only what the table lists stays;
 * those of refusal_rows, which blame no request, stay as they are. */
static int refusal_word(struct api_error *e)
{
    const struct msg_inference_error m = {
        .status_code = e->status,
        .code = str_from(e->code),
        .param = str_from(e->param),
        .prompt_tokens = e->prompt_tokens > 0 ? e->prompt_tokens : PROTO_UNSET,
        .context_tokens = e->context_tokens > 0 ? e->context_tokens : PROTO_UNSET};
    struct provider_verdict v;

    provider_error_judge(&m, &v);
    memcpy(e->message, v.error.message, sizeof e->message);
    if (v.class == PROVIDER_REQUEST_FAULT)
        memcpy(e->param, v.error.param, sizeof e->param);
    return ERR_DENIED;
}

static void refusal_fill(struct api_error *e, int status, const char *code, const char *param)
{
    *e = (struct api_error){.status = status};
    (void)snprintf(e->code, sizeof e->code, "%s", code);
    (void)snprintf(e->param, sizeof e->param, "%s", param);
}

int refusal_set(struct api_error *ret_error, enum refusal why)
{
    const struct refusal_row *row = &refusal_rows[why];

    refusal_fill(ret_error, row->status, row->code, row->param);
    return refusal_word(ret_error);
}

int refusal_unsupported(struct api_error *ret_error, const char *param)
{
    refusal_fill(ret_error, 400, "unsupported_parameter", param);
    return refusal_word(ret_error);
}

int refusal_of_parse(const struct api_error *found, struct api_error *ret_error)
{
    refusal_fill(ret_error, found->status, found->code, found->param);
    return refusal_word(ret_error);
}

static int refusal_too_long(int64_t prompt_tokens, int64_t context_tokens,
                            struct api_error *ret_error)
{
    const struct refusal_row *row = &refusal_rows[REFUSAL_TOO_LONG];

    refusal_fill(ret_error, row->status, row->code, row->param);
    ret_error->prompt_tokens = prompt_tokens;
    ret_error->context_tokens = context_tokens;
    return refusal_word(ret_error);
}

int refusal_of_wrong(enum engine_wrong wrong, struct api_error *ret_error)
{
    static const enum refusal of[] = {
        [ENGINE_WRONG_NONE] = REFUSAL_ENGINE, /* an engine that denies and does not say why */
#define REFUSAL_OF_WRONG(name) [ENGINE_WRONG_##name] = REFUSAL_##name,
        ENGINE_WRONG_TABLE(REFUSAL_OF_WRONG)
#undef REFUSAL_OF_WRONG
    };

    return refusal_set(ret_error, of[wrong]);
}

int refusal_of_engine(int code, int64_t prompt_tokens, int64_t context_tokens,
                      struct api_error *ret_error)
{
    static const struct {
        int code;
        enum refusal why;
    } known[] = {{ERR_PARSE, REFUSAL_MESSAGES},      {ERR_RANGE, REFUSAL_RUN_TOO_LONG},
                 {ERR_BUSY, REFUSAL_QUEUE_FULL},     {ERR_NOMEM, REFUSAL_NO_MEMORY},
                 {ERR_AGAIN, REFUSAL_MODEL_LOADING}, {ERR_DENIED, REFUSAL_DEADLY},
                 {ERR_CLOSED, REFUSAL_ENGINE_ENDED}};

    if (code == ERR_LIMIT)
        return refusal_too_long(prompt_tokens, context_tokens, ret_error);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (known[i].code == code)
            return refusal_set(ret_error, known[i].why);
    }
    return refusal_set(ret_error, REFUSAL_ENGINE);
}
