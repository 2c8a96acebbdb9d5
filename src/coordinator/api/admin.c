/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/api/admin.h"

#include <sodium.h>

#include "coordinator/api/target.h"
#include "coordinator/reply/answer.h"

/* --- who may --- */

static const char admin_scheme[] = "Bearer ";

static void admin_hash(struct str s, unsigned char ret_hash[static crypto_hash_sha256_BYTES])
{
    crypto_hash_sha256(ret_hash, (const unsigned char *)(s.p ? s.p : ""), s.n);
}

/* Hashes are compared, so that time tells neither what fits nor how long the key is. */
static bool admin_key_fits(struct str key, struct str given)
{
    unsigned char a[crypto_hash_sha256_BYTES], b[crypto_hash_sha256_BYTES];

    admin_hash(key, a);
    admin_hash(given, b);
    return sodium_memcmp(a, b, sizeof a) == 0;
}

static bool admin_has_key(const struct coord *c, const struct http_exchange *x)
{
    struct str scheme = STR(admin_scheme), given = {NULL, 0};

    if (http_header_once(http_request_of(x), "Authorization", &given) < 0 || given.n <= scheme.n ||
        !str_ieq((struct str){given.p, scheme.n}, scheme))
        return false;
    given = str_trim((struct str){given.p + scheme.n, given.n - scheme.n});
    return c->settings->admin_key.n > 0 && admin_key_fits(c->settings->admin_key, given);
}

static void admin_key_error(const struct coord *c, struct api_error *ret_error)
{
    api_error_set(ret_error, API_AUTH, NULL,
                  c->settings->admin_key.n > 0
                      ? "this needs the admin key: send it as `Authorization: Bearer <key>`"
                      : "no admin key is set: set admin.key, or ask at the control socket with "
                        "`darkbloom-coordinator providers`");
}

int admin_on_head(struct coord *c, struct http_exchange *x, const char **ret_why)
{
    if (admin_has_key(c, x))
        return 0;
    c->rejection = (struct api_error){0};
    admin_key_error(c, &c->rejection);
    *ret_why = c->rejection.message;
    return c->rejection.status;
}

bool admin_may(struct coord *c, struct http_exchange *x)
{
    struct api_error e = {0};

    if (admin_has_key(c, x))
        return true;
    admin_key_error(c, &e);
    answer_error(c, x, NULL, &e, (struct http_header){STR("WWW-Authenticate"), STR("Bearer")});
    return false;
}

/* --- a question --- */

static void admin_asker_gone(void *ud, int reason)
{
    (void)reason;
    ((struct admin_query *)ud)->x = NULL;
}

void admin_fail(struct admin_query *q, enum api_error_id kind, const char *param, const char *why)
{
    struct api_error e = {0};

    if (!q->x)
        return;
    api_error_set(&e, kind, param, "%s", why);
    answer_error(q->home, q->x, NULL, &e, (struct http_header){0});
    q->x = NULL;
}

static bool admin_is_listed(struct str name, const char *const *names)
{
    for (; *names; names++) {
        if (str_is(name, *names))
            return true;
    }
    return str_is(name, "format");
}

/* A parameter that is misspelt would otherwise be a question that was not asked. */
static int admin_check_names(struct admin_query *q, const char *const *names)
{
    struct str query = http_request_of(q->x)->query, name, value;
    char shown[ADMIN_VALUE_BYTES + 1];

    while (target_query_next(&query, &name, &value)) {
        if (admin_is_listed(name, names))
            continue;
        snprintf(shown, sizeof shown, "%.*s", STR_ARG(str_cut(name, 100)));
        admin_fail(q, API_UNSUPPORTED, shown, "there is no such parameter here");
        return ERR_USAGE;
    }
    return 0;
}

int admin_begin(struct admin_query *q, struct coord *c, struct http_exchange *x,
                const char *const *names)
{
    char format[ADMIN_VALUE_BYTES + 1];
    int rc;

    q->home = c;
    q->x = x;
    buf_init(&q->out, ADMIN_MAX_BYTES);
    q->w = (struct writer){.out = &q->out};
    rc = admin_check_names(q, names);
    if (rc == 0)
        rc = admin_param(q, "format", format);
    if (rc < 0 && rc != ERR_NOT_FOUND)
        return rc;
    q->text = rc == 0 && strcmp(format, "text") == 0;
    if (rc == 0 && !q->text && strcmp(format, "json") != 0) {
        admin_fail(q, API_BAD_VALUE, "format", "format is json or text");
        return ERR_USAGE;
    }
    http_on_abort(x, admin_asker_gone, q);
    return 0;
}

void admin_finish(struct admin_query *q)
{
    const struct http_header headers[] = {{STR("Content-Type"), STR("text/plain; charset=utf-8")},
                                          {STR("Cache-Control"), STR("no-store")}};

    if (q->x && q->w.rc < 0)
        answer_no_memory(q->home, q->x);
    else if (q->x && q->text)
        http_respond(q->x, 200, headers, 2, buf_view(&q->out));
    else if (q->x)
        answer_json(q->home, q->x, 200, buf_view(&q->out));
    q->x = NULL;
    buf_free(&q->out);
}

int admin_param(struct admin_query *q, const char *name, char value[static ADMIN_VALUE_BYTES + 1])
{
    struct str text;
    int rc = target_query(http_request_of(q->x)->query, name, value, ADMIN_VALUE_BYTES, &text);

    if (rc == 0)
        value[text.n] = '\0';
    else if (rc != ERR_NOT_FOUND)
        admin_fail(q, API_BAD_VALUE, name,
                   rc == ERR_EXISTS  ? "it stands there twice; send it once"
                   : rc == ERR_LIMIT ? "it has more than 512 bytes"
                                     : "its percent-encoding is no UTF-8 text");
    return rc;
}

int admin_number(struct admin_query *q, const char *name, int64_t min, int64_t max,
                 int64_t *ret_value)
{
    char text[ADMIN_VALUE_BYTES + 1], why[80];
    int64_t value;
    int rc = admin_param(q, name, text);

    if (rc < 0)
        return rc == ERR_NOT_FOUND ? 0 : rc;
    if (str_to_i64(str_from(text), &value) == 0 && value >= min && value <= max) {
        *ret_value = value;
        return 0;
    }
    snprintf(why, sizeof why, "it must be a whole number from %lld to %lld", (long long)min,
             (long long)max);
    admin_fail(q, API_BAD_VALUE, name, why);
    return ERR_RANGE;
}
