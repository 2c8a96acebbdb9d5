/* SPDX-License-Identifier: Apache-2.0 */
/* Stage 2: API key → account, then the account's rate limit. Whose a request with a body is was
 * found out at its head (api/gatehouse.c); one without is asked for here: from memory, or the
 * request waits for the store (admit/identify.c). */
#include "coordinator/flow/flow.h"

static void auth_identified(struct identify *q)
{
    struct request *r = list_owner(q, struct request, identify);

    if (r->stage == STAGE_AUTH)
        flow_resume(r);
    else
        flow_release(r);
}

static enum flow_verdict auth_over_the_rate(struct request *r, int retry_after_s)
{
    const struct settings *s = r->coord->settings;

    api_error_set(&r->error, API_RATE_LIMIT, NULL,
                  "the account's limit of %g requests a second (burst %lld) is reached; the next "
                  "one is free in %d s",
                  s->rate_per_s, (long long)s->rate_burst, retry_after_s);
    r->error.retry_after_s = retry_after_s;
    return FLOW_FAIL;
}

enum flow_verdict flow_auth(struct request *r)
{
    int retry_after_s = 0;

    if (!r->identify.done) /* not asked yet */
        r->account = http_ud(r->reply.x);
    if (!r->account && !r->identify.done)
        identify_start(&r->identify, r->coord, r->reply.x, auth_identified);
    if (r->identify.pending)
        return FLOW_WAIT;
    if (r->identify.rc < 0) {
        identify_error(&r->identify, &r->error);
        return FLOW_FAIL;
    }
    if (!r->account)
        r->account = r->identify.account;
    if (r->account->settings.first_content_ms > 0 || r->account->settings.request_deadline_ms > 0)
        flow_set_limits(r);
    if (accounts_take(r->coord->accounts, r->account, &retry_after_s) < 0)
        return auth_over_the_rate(r, retry_after_s);
    return r->error.id == API_OK ? FLOW_NEXT : FLOW_FAIL; /* what enter found wrong with the body */
}
