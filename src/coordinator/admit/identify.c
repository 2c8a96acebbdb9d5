/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/admit/identify.h"

#include <stdio.h>

#include "base/list.h"
#include "coordinator/admit/strangers.h"
#include "coordinator/metrics.h"

/* The token of "Authorization: Bearer <token>" (RFC 6750 §2.1, scheme in any case). */
static struct str identify_bearer_token(struct str authorization)
{
    const struct str scheme = STR("Bearer ");
    struct str v = str_trim(authorization);

    if (v.n < scheme.n || !str_ieq((struct str){v.p, scheme.n}, scheme))
        return (struct str){0};
    return str_trim((struct str){v.p + scheme.n, v.n - scheme.n});
}

static void identify_count(const struct identify *q, enum metrics_STRANGER how)
{
    metrics_add(q->coord->metrics, M_STRANGERS, how, 0, 1);
}

static struct str identify_hash(const struct identify *q)
{
    return (struct str){(const char *)q->lookup.hash, sizeof q->lookup.hash};
}

/* What the store said is remembered, once for all who asked. */
static void identify_learn(struct identify *q)
{
    q->rc = q->lookup.op.rc;
    if (q->rc == ERR_NOT_FOUND) {
        accounts_learn_unknown(q->coord->accounts, q->lookup.hash);
        identify_count(q, METRIC_STRANGER_LOOKED_UP);
    } else {
        strangers_give_back(q->coord->hub->strangers, q->peer);
    }
    if (q->rc == 0) {
        q->account = accounts_learn(q->coord->accounts, q->lookup.hash, q->lookup.account,
                                    q->lookup.balance_micro_usd, &q->lookup.settings);
        q->rc = q->account ? 0 : ERR_NOMEM;
    }
}

static void identify_answer(struct identify *q, int rc, struct account *account)
{
    q->pending = false;
    q->rc = rc;
    q->account = account;
    q->done(q);
}

/* In the order in which they came; each may be freed by its `done`. */
static void identify_lookup_done(struct store_op *op)
{
    struct identify *q = list_owner(op, struct identify, lookup.op);
    struct list_node others;
    struct account *account;
    int rc;

    if (map_get(&q->coord->lookups, identify_hash(q)) == q)
        map_remove(&q->coord->lookups, identify_hash(q));
    identify_learn(q);
    list_init(&others);
    list_move_all(&others, &q->others);
    rc = q->rc;
    account = q->account;
    identify_answer(q, rc, account);
    while (!list_empty(&others)) {
        struct identify *other = list_owner(others.next, struct identify, link);

        list_remove(&other->link);
        identify_answer(other, rc, account);
    }
}

int identify_recall(struct identify *q, struct coord *c, const struct http_request *req)
{
    struct str authorization, token;

    *q = (struct identify){.coord = c};
    if (http_header_once(req, "Authorization", &authorization) < 0)
        return q->rc = ERR_EXISTS;
    token = identify_bearer_token(authorization);
    if (token.n == 0)
        return q->rc = ERR_MISSING;
    key_hash(token, q->lookup.hash);
    q->account = accounts_by_key(c->accounts, q->lookup.hash);
    if (q->account)
        return 0;
    if (!accounts_is_unknown(c->accounts, q->lookup.hash))
        return q->rc = ERR_AGAIN;
    identify_count(q, METRIC_STRANGER_REMEMBERED);
    return q->rc = ERR_NOT_FOUND;
}

/* Many connections that open at once with one key are one question to the store. */
static bool identify_join(struct identify *q)
{
    struct identify *first = map_get(&q->coord->lookups, identify_hash(q));

    if (!first)
        return false;
    list_push_back(&first->others, &q->link);
    q->pending = true;
    return true;
}

static void identify_ask(struct identify *q)
{
    uint8_t hash[KEY_HASH_BYTES];

    memcpy(hash, q->lookup.hash, sizeof hash);
    key_lookup_op_init(&q->lookup, hash, identify_lookup_done);
    list_init(&q->others);
    (void)map_put(&q->coord->lookups, identify_hash(q), q); /* without memory nobody joins */
    q->pending = true;
    coord_submit(q->coord, &q->lookup.op);
}

int identify_start(struct identify *q, struct coord *c, const struct http_exchange *x,
                   void (*done)(struct identify *q))
{
    int rc = identify_recall(q, c, http_request_of(x));

    q->done = done;
    if (rc != ERR_AGAIN || identify_join(q))
        return rc;
    (void)snprintf(q->peer, sizeof q->peer, "%s", http_peer(x));
    rc = strangers_take(c->hub->strangers, q->peer, clock_mono_us(&c->clock), &q->retry_after_s);
    if (rc < 0) {
        identify_count(q, METRIC_STRANGER_REFUSED);
        return q->rc = rc;
    }
    identify_ask(q);
    return ERR_AGAIN;
}

void identify_error(const struct identify *q, struct api_error *ret_error)
{
    if (q->rc == ERR_MISSING) {
        api_error_set(ret_error, API_AUTH, NULL,
                      "no API key: send it as `Authorization: Bearer <key>`");
    } else if (q->rc == ERR_EXISTS) {
        api_error_set(ret_error, API_BAD_REQUEST, "Authorization",
                      "Authorization stands twice; send one key");
    } else if (q->rc == ERR_NOT_FOUND) {
        api_error_set(ret_error, API_AUTH, NULL,
                      "the API key is not known or was revoked; the coordinator's operator makes "
                      "one with `darkbloom-coordinator key create`");
    } else if (q->rc == ERR_BUSY) {
        api_error_set(ret_error, API_RATE_LIMIT, NULL,
                      "this address's limit of %lld unknown API keys a second is reached; is the "
                      "key right?",
                      (long long)q->coord->settings->unknown_keys_per_s);
        ret_error->retry_after_s = q->retry_after_s;
    } else {
        api_error_set(ret_error, API_STORE, NULL, "the key could not be looked up; try again");
        ret_error->retry_after_s = 1;
    }
}
