/* SPDX-License-Identifier: Apache-2.0 */
/* Challenges: a fresh nonce at once after registration and then every interval. A provider is
 * routable only while its last challenge was answered correctly; three failures in a row, or one
 * answer that proves a protection off, make it untrusted for good. */
#include "base/b64.h"
#include "coordinator/registry/provider.h"

static void send_challenge(void *ud);

static void schedule_next(struct provider *p)
{
    loop_timer_set(p->reg->loop, &p->challenge.timer,
                   p->reg->config.settings->challenge_interval_ms * 1000, send_challenge, p);
}

static void failed(struct provider *p, enum trust_reason reason, bool at_once)
{
    struct challenge *ch = &p->challenge;

    ch->outstanding = false;
    ch->passed = false;
    ch->failures++;
    if (at_once) {
        provider_distrust(p, reason);
    } else if (ch->failures >= CHALLENGE_MAX_FAILURES) {
        provider_distrust(p, TRUST_REASON_CHALLENGES_FAILED);
    } else {
        provider_set_trust(p, TRUST_NONE, reason);
        schedule_next(p);
    }
}

static void answer_overdue(void *ud)
{
    failed(ud, TRUST_REASON_CHALLENGE_TIMEOUT, false);
}

static void send_challenge(void *ud)
{
    struct provider *p = ud;
    struct challenge *ch = &p->challenge;
    uint8_t nonce[CHALLENGE_NONCE_BYTES];
    struct provider_msg m = {.type = MSG_ATTESTATION_CHALLENGE};

    rand_fill(&p->reg->config.rand, nonce, sizeof nonce);
    b64_encode(nonce, sizeof nonce, ch->nonce);
    clock_rfc3339(clock_wall_us(&p->reg->clock), ch->timestamp);
    ch->outstanding = true;
    loop_timer_set(p->reg->loop, &ch->timer, p->reg->config.settings->challenge_timeout_ms * 1000,
                   answer_overdue, p);
    m.challenge = (struct msg_attestation_challenge){str_from(ch->nonce), str_from(ch->timestamp)};
    (void)provider_send(p, &m);
}

void challenge_start(struct provider *p)
{
    send_challenge(p);
}

void challenge_stop(struct provider *p)
{
    p->challenge.outstanding = false;
    p->challenge.passed = false;
    loop_timer_clear(p->reg->loop, &p->challenge.timer);
}

static void replace(struct provider *older, const struct provider *p)
{
    log_event(p->reg->config.log, LOG_INFO, EV_PROVIDER_REPLACED, KV_CSTR("provider", older->id),
              KV_CSTR("by", p->id));
    provider_close(older, WS_CLOSE_NORMAL, "replaced by a new connection with the same key");
}

void challenge_answer(struct provider *p, const struct msg_attestation_response *m)
{
    struct challenge *ch = &p->challenge;
    struct provider *older = NULL;
    enum trust_reason reason = TRUST_REASON_NEW;
    struct err e = {0};
    int rc;

    /* A late, repeated or invented nonce proves nothing and costs nothing. */
    if (!ch->outstanding || !str_is(m->nonce, ch->nonce)) {
        p->ignored_messages++;
        return;
    }
    rc = attest_challenge_verify(m, str_from(ch->nonce), str_from(ch->timestamp),
                                 str_from(p->x25519_b64), p->attested ? p->blob.key : NULL,
                                 p->platform, &reason, &e);
    if (rc < 0) {
        failed(p, reason, rc == ERR_DENIED);
        return;
    }
    ch->outstanding = false;
    ch->passed = true;
    ch->failures = 0;
    if (p->attested)
        older = provider_key_proven(p);
    provider_set_trust(p, p->attested ? TRUST_SELF_SIGNED : TRUST_NONE,
                       TRUST_REASON_CHALLENGE_PASSED);
    schedule_next(p);
    if (older)
        replace(older, p);
}
