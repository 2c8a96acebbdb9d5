/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/api_error.h"

#include <stdarg.h>
#include <stdio.h>

#include "proto/shape.h"

static const struct {
    int status;
    const char *type, *code;
} table[API_ERROR_COUNT] = {
#define API_ERROR(name, status, type, code) [API_##name] = {status, type, code},
#include "proto/api_errors.def"
#undef API_ERROR
};

int api_error_set(struct api_error *ret_error, enum api_error_id id, const char *param,
                  const char *fmt, ...)
{
    char text[sizeof ret_error->message + 4]; /* room to see what the cut would split */
    struct str message;
    va_list ap;

    *ret_error = (struct api_error){.id = id, .status = table[id].status};
    snprintf(ret_error->code, sizeof ret_error->code, "%s", table[id].code);
    snprintf(ret_error->param, sizeof ret_error->param, "%s", param ? param : "");
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    message = str_cut(str_from(text), sizeof ret_error->message - 1);
    memcpy(ret_error->message, message.p, message.n);
    ret_error->message[message.n] = 0;
    return ERR_DENIED;
}

int api_error_write(const struct api_error *e, struct buf *out)
{
    int rc = buf_append_str(out, STR("{\"error\":{\"message\":"));

    if (rc == 0)
        rc = json_append_str(out, str_from(e->message));
    if (rc == 0)
        rc = buf_printf(out, ",\"type\":\"%s\",\"param\":", table[e->id].type);
    if (rc == 0)
        rc = e->param[0] ? json_append_str(out, str_from(e->param))
                         : buf_append_str(out, STR("null"));
    if (rc == 0)
        rc = buf_append_str(out, STR(",\"code\":"));
    if (rc == 0)
        rc = json_append_str(out, str_from(e->code));
    return rc == 0 ? buf_append_str(out, STR("}}")) : rc;
}
