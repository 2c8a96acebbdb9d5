/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/admit/identify.h"

#include "base/list.h"

/* The token of "Authorization: Bearer <token>" (RFC 6750 §2.1, scheme in any case). */
static struct str bearer_token(struct str authorization)
{
    const struct str scheme = STR("Bearer ");
    struct str v = str_trim(authorization);

    if (v.n < scheme.n || !str_ieq((struct str){v.p, scheme.n}, scheme))
        return (struct str){0};
    return str_trim((struct str){v.p + scheme.n, v.n - scheme.n});
}

bool identify_names_key(struct str authorization)
{
    return bearer_token(authorization).n > 0;
}

static void lookup_done(struct store_op *op)
{
    struct identify *q = list_owner(op, struct identify, lookup.op);

    q->pending = false;
    q->rc = op->rc;
    if (q->rc == 0) {
        q->account = accounts_learn(q->coord->accounts, q->lookup.hash, q->lookup.account,
                                    q->lookup.balance_micro_usd, &q->lookup.settings);
        q->rc = q->account ? 0 : ERR_NOMEM;
    }
    q->done(q);
}

int identify_start(struct identify *q, struct coord *c, const struct http_request *req,
                   void (*done)(struct identify *q))
{
    struct str authorization, token;
    uint8_t hash[KEY_HASH_BYTES];

    *q = (struct identify){.coord = c, .done = done};
    if (http_header_once(req, "Authorization", &authorization) < 0)
        return q->rc = ERR_EXISTS;
    token = bearer_token(authorization);
    if (token.n == 0)
        return q->rc = ERR_MISSING;
    key_hash(token, hash);
    q->account = accounts_by_key(c->accounts, hash);
    if (q->account)
        return 0;
    key_lookup_op_init(&q->lookup, hash, lookup_done);
    q->pending = true;
    q->rc = ERR_AGAIN;
    coord_submit(c, &q->lookup.op);
    return ERR_AGAIN;
}

void identify_error(const struct identify *q, struct api_error *ret_error)
{
    if (q->rc == ERR_MISSING) {
        api_error_set(ret_error, API_AUTH, NULL, IDENTIFY_NO_KEY);
    } else if (q->rc == ERR_EXISTS) {
        api_error_set(ret_error, API_BAD_REQUEST, "Authorization",
                      "Authorization stands twice; send one key");
    } else if (q->rc == ERR_NOT_FOUND) {
        api_error_set(ret_error, API_AUTH, NULL,
                      "the API key is not known or was revoked; the coordinator's operator makes "
                      "one with `darkbloom-coordinator key create`");
    } else {
        api_error_set(ret_error, API_STORE, NULL, "the key could not be looked up; try again");
        ret_error->retry_after_s = 1;
    }
}
