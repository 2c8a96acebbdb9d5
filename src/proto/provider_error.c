/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/provider_error.h"

struct provider_error_row {
    int status;        /* of a PROVIDER_STATUS; 0: a PROVIDER_CODE */
    const char *code;  /* or the reason of a status */
    const char *param; /* NULL: any */
    enum provider_error_class class;
    enum api_error_id id;
    const char *sentence;
};

#define PROVIDER_PARAM(name)
static const struct provider_error_row provider_error_rows[] = {
#define PROVIDER_CODE(code_, param_, class_, id_, sentence_) \
    {0, code_, param_, PROVIDER_##class_, API_##id_, sentence_},
#define PROVIDER_STATUS(status_, class_, id_, sentence_) \
    {status_, "status_" #status_, NULL, PROVIDER_##class_, API_##id_, sentence_},
#include "proto/provider_errors.def"
#undef PROVIDER_CODE
#undef PROVIDER_STATUS
    /* What no row above says. */
    {0, "other", NULL, PROVIDER_FAULT, API_PROVIDER, "a provider failed"},
};
#undef PROVIDER_PARAM

#define PROVIDER_CODE(...)
#define PROVIDER_STATUS(...)
static const char *const provider_error_params[] = {
#define PROVIDER_PARAM(name) name,
#include "proto/provider_errors.def"
#undef PROVIDER_PARAM
};
#undef PROVIDER_CODE
#undef PROVIDER_STATUS

enum {
    N_ROWS = sizeof provider_error_rows / sizeof provider_error_rows[0],
    N_PARAMS = sizeof provider_error_params / sizeof provider_error_params[0],
    INDEX_DIGITS_MAX = 7, /* of an index: a body of 6 MiB holds fewer elements */
};

static bool provider_error_status_blames_request(int64_t status)
{
    return status == 400 || status == 413 || status == 422;
}

static bool provider_error_row_fits(const struct provider_error_row *row,
                                    const struct msg_inference_error *m)
{
    if (row->status != 0)
        return row->status == m->status_code;
    return str_is(m->code, row->code) && (!row->param || str_is(m->param, row->param)) &&
           (row->class != PROVIDER_REQUEST_FAULT ||
            provider_error_status_blames_request(m->status_code));
}

/* Rows with codes stand before those with statuses, and the last one fits all. */
static const struct provider_error_row *provider_error_find(const struct msg_inference_error *m)
{
    size_t i = 0;

    while (i < N_ROWS - 1 && !provider_error_row_fits(&provider_error_rows[i], m))
        i++;
    return &provider_error_rows[i];
}

/* `param` is `name`, with an index of a few digits where `name` has '#'. */
static bool provider_error_is_param(struct str param, const char *name)
{
    size_t at = 0;

    for (; *name; name++) {
        size_t digits = 0;

        if (*name != '#') {
            if (at == param.n || param.p[at++] != *name)
                return false;
            continue;
        }
        while (at < param.n && param.p[at] >= '0' && param.p[at] <= '9') {
            at++;
            digits++;
        }
        if (digits == 0 || digits > INDEX_DIGITS_MAX)
            return false;
    }
    return at == param.n;
}

/* "" unless it is a parameter's name. */
static void provider_error_take_param(struct str param, struct api_error *e)
{
    bool known = false;

    for (size_t i = 0; i < N_PARAMS && !known; i++)
        known = provider_error_is_param(param, provider_error_params[i]);
    if (!known || param.n >= sizeof e->param)
        return;
    memcpy(e->param, param.p, param.n);
    e->param[param.n] = 0;
}

static bool provider_error_is_count(int64_t tokens)
{
    return tokens >= 1 && tokens <= PROVIDER_ERROR_TOKENS_MAX;
}

static void provider_error_too_long(const struct msg_inference_error *m, struct api_error *e)
{
    const char *param = e->param[0] ? "messages" : NULL;

    if (!provider_error_is_count(m->context_tokens))
        return;
    if (provider_error_is_count(m->prompt_tokens))
        (void)api_error_set(e, API_CONTEXT_LENGTH, param,
                            "the prompt has %lld tokens, and the model's context holds %lld with "
                            "the answer; shorten the messages",
                            (long long)m->prompt_tokens, (long long)m->context_tokens);
    else
        (void)api_error_set(e, API_CONTEXT_LENGTH, param,
                            "the prompt has more tokens than the model's context holds, which is "
                            "%lld with the answer; shorten the messages",
                            (long long)m->context_tokens);
}

void provider_error_judge(const struct msg_inference_error *m, struct provider_verdict *ret_verdict)
{
    const struct provider_error_row *row = provider_error_find(m);
    struct provider_verdict v = {.class = row->class, .reason = row->code};

    (void)api_error_set(&v.error, row->id, NULL, "%s", row->sentence);
    /* A parameter is the consumer's business only where the request is at fault. */
    if (row->class == PROVIDER_REQUEST_FAULT)
        provider_error_take_param(m->param, &v.error);
    if (row->id == API_CONTEXT_LENGTH)
        provider_error_too_long(m, &v.error);
    *ret_verdict = v;
}

const char *provider_error_class_name(enum provider_error_class class)
{
    static const char *const names[] = {[PROVIDER_REQUEST_FAULT] = "request_fault",
                                        [PROVIDER_REFUSED_LOAD] = "refused_load",
                                        [PROVIDER_FAULT] = "provider_fault"};

    return names[class];
}
