/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/flow/request.h"

#include "base/num.h"
#include "base/state.h"

#define N_ROWS(rows) (sizeof(rows) / sizeof(rows)[0])

static const struct state_row hold_rows[] = {
    [HOLD_NONE] = {"none", STATE_BIT(HOLD_SUBMITTED)},
    [HOLD_SUBMITTED] = {"submitted", STATE_BIT(HOLD_COMMITTED) | STATE_BIT(HOLD_REFUSED) |
                                         STATE_BIT(HOLD_SETTLING)},
    [HOLD_COMMITTED] = {"committed", STATE_BIT(HOLD_SETTLING)},
    [HOLD_REFUSED] = {"refused", 0},
    [HOLD_SETTLING] = {"settling", STATE_BIT(HOLD_SETTLED)},
    [HOLD_SETTLED] = {"settled", 0},
};
static const struct state_table hold_states = {"hold", hold_rows, N_ROWS(hold_rows)};

/* Every state may end in none: the attempt failed, was cancelled, or its request is settled. */
static const struct state_row attempt_rows[] = {
    [ATTEMPT_NONE] = {"none", STATE_BIT(ATTEMPT_NONE) | STATE_BIT(ATTEMPT_SENT)},
    [ATTEMPT_SENT] = {"sent", STATE_BIT(ATTEMPT_NONE) | STATE_BIT(ATTEMPT_ACCEPTED) |
                                  STATE_BIT(ATTEMPT_COMPLETED)},
    [ATTEMPT_ACCEPTED] = {"accepted", STATE_BIT(ATTEMPT_NONE) | STATE_BIT(ATTEMPT_ANSWERING) |
                                          STATE_BIT(ATTEMPT_COMPLETED)},
    [ATTEMPT_ANSWERING] = {"answering", STATE_BIT(ATTEMPT_NONE) | STATE_BIT(ATTEMPT_COMPLETED)},
    [ATTEMPT_COMPLETED] = {"completed", STATE_BIT(ATTEMPT_NONE)},
};
static const struct state_table attempt_states = {"attempt", attempt_rows, N_ROWS(attempt_rows)};

void hold_move(struct request *r, enum hold_state next)
{
    state_check_move(&hold_states, r->hold.state, next);
    r->hold.state = next;
}

void attempt_move(struct request *r, enum attempt_state next)
{
    state_check_move(&attempt_states, r->tries.state, next);
    r->tries.state = next;
}

struct attempt *request_live(struct request *r)
{
    bool live = r->tries.state >= ATTEMPT_SENT && r->tries.state <= ATTEMPT_ANSWERING;

    return live ? &r->tries.items[r->tries.n - 1] : NULL;
}

int request_header(struct request *r, const char *name, struct str *ret_value)
{
    if (http_header_once(http_request_of(r->reply.x), name, ret_value) == 0)
        return 0;
    return api_error_set(&r->error, API_BAD_REQUEST, name, "%s stands twice; send it once", name);
}

int64_t request_delivered(struct request *r)
{
    return num_min(reply_delivered(&r->reply), r->hold.output_limit);
}

int64_t request_prompt_tokens(const struct request *r)
{
    int64_t guess = (int64_t)r->chat.prompt_bytes / 4 + 1;

    return num_min(r->tries.prompt_tokens > 0 ? r->tries.prompt_tokens : guess,
                   r->hold.prompt_ceiling);
}

void request_drop_text(struct request *r)
{
    reply_free(&r->reply);
    buf_free(&r->tries.frame);
    buf_free(&r->tries.plain);
    buf_free(&r->tries.early);
    arena_free(&r->region);
}
