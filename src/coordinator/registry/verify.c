/* SPDX-License-Identifier: Apache-2.0 */
/* Signatures in turn. A turn of the loop checks VERIFY_PER_TURN of them at most, about a
 * millisecond of work; what comes beyond that is kept (an answer as its frame, since what is
 * decoded lives only for the call) and checked in the turns that follow, in order. So a thousand
 * providers that come at once are all checked within a second, and no stream waits longer than for
 * one turn (FR-15). */
#include "coordinator/registry/provider.h"

/* A status has at most 128 KiB (attest/challenge.c). */
enum { ANSWER_MAX_BYTES = 192 << 10 };

static void verify_turn(void *ud);

/* Whether this turn has room; it is counted, and the next turn will have all of it again. */
static bool verify_take(struct registry *reg)
{
    if (!reg->verify_timer.place) {
        reg->verify_left = VERIFY_PER_TURN;
        loop_timer_set(reg->loop, &reg->verify_timer, 0, verify_turn, reg);
    }
    if (reg->verify_left == 0)
        return false;
    reg->verify_left--;
    reg->work.verified++;
    return true;
}

void verify_init(struct provider *p)
{
    const struct memory_share *memory = p->reg->config.memory;

    buf_init(&p->verify.answer, ANSWER_MAX_BYTES);
    if (memory)
        (void)buf_set_budget(&p->verify.answer, memory->providers); /* it is empty: cannot fail */
}

static void verify_queue(struct provider *p)
{
    p->reg->work.verify_deferred++;
    list_push_back(&p->reg->verify, &p->verify.link);
}

static void verify_waiting_answer(struct provider *p)
{
    struct registry *reg = p->reg;
    struct provider_msg m;
    struct buf frame = p->verify.answer;

    verify_init(p);
    if (provider_msg_decode(&reg->scratch, buf_view(&frame), &m, NULL) == 0 &&
        m.type == MSG_ATTESTATION_RESPONSE)
        challenge_check(p, &m.attestation);
    buf_free(&frame);
}

/* Whoever waits longest is next. */
static void verify_turn(void *ud)
{
    struct registry *reg = ud;

    while (!list_empty(&reg->verify) && verify_take(reg)) {
        struct provider *p = list_owner(reg->verify.next, struct provider, verify.link);

        list_remove(&p->verify.link);
        if (p->verify.attestation.p)
            provider_verify_attestation(p);
        else
            verify_waiting_answer(p);
    }
}

bool verify_now(struct provider *p, struct str answer_frame, int *ret_rc)
{
    if (list_empty(&p->reg->verify) && verify_take(p->reg))
        return true;
    *ret_rc = buf_append_str(&p->verify.answer, answer_frame);
    if (*ret_rc == 0)
        verify_queue(p);
    return false;
}

bool verify_attestation_now(struct provider *p)
{
    if (list_empty(&p->reg->verify) && verify_take(p->reg))
        return true;
    verify_queue(p);
    return false;
}

void verify_forget(struct provider *p)
{
    list_remove(&p->verify.link);
    buf_free(&p->verify.answer);
    p->verify.attestation = (struct str){0};
}
