/* SPDX-License-Identifier: Apache-2.0 */
/* Challenges: a fresh nonce at once after registration and then every interval. A provider is
 * routable only while its last challenge was answered rightly. One that is missed is transient: it
 * is asked again after 2 s, then after challenge_retry_ms (30 s) and twice as long each time up to
 * 15 minutes, and the next right answer restores it (FR-16, FR-18). A wrong signature, or a
 * protection that the answer says is off, is final. Times are spread by a fifth, so that providers
 * that came together are not challenged together. */
#include "base/b64.h"
#include "base/num.h"
#include "coordinator/metrics.h"
#include "coordinator/registry/provider.h"

#define RETRY_FIRST_US INT64_C(2000000)
enum { RETRY_TIMES_MAX = 30, MISSED_MAX = 64, SPREAD_PARTS = 1 << 16 };

static void challenge_send(void *ud);

/* Between four fifths of it and all of it. */
static int64_t challenge_spread(const struct provider *p, int64_t us)
{
    return us - us / 5 * rand_below(&p->reg->config.rand, SPREAD_PARTS) / SPREAD_PARTS;
}

static int64_t challenge_retry_us(const struct provider *p)
{
    int64_t base_us = p->reg->config.settings->challenge_retry_ms * 1000;
    int64_t times = 1;

    if (p->challenge.missed <= 1)
        return num_min(RETRY_FIRST_US, base_us);
    for (int i = 2; i < p->challenge.missed && times < RETRY_TIMES_MAX; i++)
        times *= 2;
    return base_us * num_min(times, RETRY_TIMES_MAX);
}

static void challenge_schedule(struct provider *p)
{
    const struct challenge *ch = &p->challenge;
    int64_t us = ch->missed > 0 ? challenge_retry_us(p)
                                : p->reg->config.settings->challenge_interval_ms * 1000;

    loop_timer_set(p->reg->loop, &p->challenge.timer, challenge_spread(p, us), challenge_send, p);
}

/* What is proven stays proven; requests are another matter. */
static void challenge_was_missed(struct provider *p, enum trust_reason reason)
{
    struct challenge *ch = &p->challenge;

    metrics_add(p->reg->config.metrics, M_CHALLENGES, reason, 0, 1);
    ch->outstanding = false;
    ch->passed = false;
    if (ch->missed < MISSED_MAX)
        ch->missed++;
    provider_set_trust(p, p->trust, reason);
    challenge_schedule(p);
}

static void challenge_overdue(void *ud)
{
    challenge_was_missed(ud, TRUST_REASON_CHALLENGE_TIMEOUT);
}

static void challenge_send(void *ud)
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
                   challenge_overdue, p);
    m.challenge = (struct msg_attestation_challenge){str_from(ch->nonce), str_from(ch->timestamp)};
    (void)provider_send(p, &m);
}

void challenge_start(struct provider *p)
{
    challenge_send(p);
}

void challenge_stop(struct provider *p)
{
    p->challenge.outstanding = false;
    p->challenge.passed = false;
    loop_timer_clear(p->reg->loop, &p->challenge.timer);
}

void provider_replace(struct provider *older, const char *by)
{
    log_event(older->reg->config.log, LOG_INFO, EV_PROVIDER_REPLACED,
              KV_CSTR("provider", older->id), KV_CSTR("by", by));
    provider_close(older, WS_CLOSE_NORMAL, "replaced by a new connection with the same key", true);
}

void challenge_key_is_here(struct provider *p)
{
    struct challenge *ch = &p->challenge;
    struct provider *older = p->attested ? provider_key_proven(p) : NULL;

    metrics_add(p->reg->config.metrics, M_CHALLENGES, TRUST_REASON_CHALLENGE_PASSED, 0, 1);
    ch->missed = 0;
    ch->passed = ch->ever_passed = true;
    if (p->record->distrusted) {
        challenge_stop(p);
        provider_set_trust(p, TRUST_NONE, p->record->reason);
    } else {
        challenge_schedule(p);
        provider_set_trust(p, p->attested ? TRUST_SELF_SIGNED : TRUST_NONE,
                           TRUST_REASON_CHALLENGE_PASSED);
    }
    if (older)
        provider_replace(older, p->id);
}

static void challenge_was_passed(struct provider *p)
{
    int rc = p->attested ? provider_claim_key(p) : 0;

    if (rc == 0)
        challenge_key_is_here(p);
    else if (rc != ERR_AGAIN)
        challenge_was_missed(p, TRUST_REASON_CHALLENGE_TIMEOUT);
}

void challenge_check(struct provider *p, const struct msg_attestation_response *m)
{
    struct challenge *ch = &p->challenge;
    enum trust_reason reason = TRUST_REASON_NEW;
    struct err e = {0};
    int rc = attest_challenge_verify(m, str_from(ch->nonce), str_from(ch->timestamp),
                                     str_from(p->x25519_b64), p->attested ? p->blob.key : NULL,
                                     p->platform, &reason, &e);

    if (rc == 0) {
        challenge_was_passed(p);
    } else if (rc == ERR_DENIED || rc == ERR_CRYPTO) {
        metrics_add(p->reg->config.metrics, M_CHALLENGES, reason, 0, 1);
        provider_distrust(p, reason);
    } else { /* it did not say enough: as if it had said nothing */
        challenge_was_missed(p, reason);
    }
}

void challenge_answer(struct provider *p, const struct msg_attestation_response *m)
{
    struct challenge *ch = &p->challenge;
    int rc = 0;

    /* A late, repeated or invented nonce proves nothing and costs nothing. */
    if (!ch->outstanding || !str_is(m->nonce, ch->nonce)) {
        p->ignored_messages++;
        return;
    }
    ch->outstanding = false; /* one answer a challenge, whenever it is checked */
    loop_timer_clear(p->reg->loop, &ch->timer);
    if (verify_now(p, p->reg->frame, &rc))
        challenge_check(p, m);
    else if (rc < 0)
        challenge_was_missed(p, TRUST_REASON_CHALLENGE_TIMEOUT);
}
