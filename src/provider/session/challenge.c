/* SPDX-License-Identifier: Apache-2.0 */
/* Answers to attestation challenges. */
#include "provider/session/challenge.h"

#include <stdlib.h>

#include "provider/guard/posture.h"

enum { CHALLENGE_SLOTS = 4, NONCE_BYTES = 128, TIMESTAMP_BYTES = 64, SIGNATURE_BYTES = 128 };

/* A challenge under way. The signer holds a pointer to it until its last answer. */
struct pending {
    struct challenges *owner;
    bool taken;   /* the signer will still answer */
    bool dropped; /* nobody wants the answer any more */
    char nonce[NONCE_BYTES], timestamp[TIMESTAMP_BYTES], signature[SIGNATURE_BYTES];
    struct posture posture;
    struct proto_pair model_hash;
};

struct challenges {
    const struct machine *machine;
    struct signer *signer;
    challenge_answer_cb *on_answer;
    void *ud;
    struct pending slots[CHALLENGE_SLOTS];
};

/* False where it does not fit, which no well-formed value does. */
static bool challenge_copy_text(char *to, size_t cap, struct str s)
{
    if (s.n >= cap)
        return false;
    if (s.n)
        memcpy(to, s.p, s.n);
    to[s.n] = '\0';
    return true;
}

/* What both the status signature and the plain fields of the answer say. */
static struct msg_attestation_response challenge_response_of(struct pending *p)
{
    const struct machine *m = p->owner->machine;

    p->model_hash = (struct proto_pair){m->model.id, m->model.weight_hash};
    return (struct msg_attestation_response){
        .nonce = str_from(p->nonce),
        .public_key = m->public_key,
        .hypervisor_active = PROTO_TRI_FALSE,
        .rdma_disabled = p->posture.rdma_disabled ? PROTO_TRI_TRUE : PROTO_TRI_FALSE,
        .sip_enabled = PROTO_TRI_FALSE,
        .secure_boot_enabled = p->posture.secure_boot ? PROTO_TRI_TRUE : PROTO_TRI_FALSE,
        .binary_hash = m->binary_hash,
        .active_model_hash = m->model.weight_hash,
        .model_hashes = {&p->model_hash, m->model.weight_hash.n ? 1 : 0},
    };
}

static void challenge_on_status_signed(void *ud, const struct signer_result *result)
{
    struct pending *p = ud;
    struct challenges *c = p->owner;
    struct provider_msg msg;

    p->taken = false;
    if (result->code < 0 || p->dropped)
        return;
    msg = (struct provider_msg){.type = MSG_ATTESTATION_RESPONSE,
                                .attestation = challenge_response_of(p)};
    msg.attestation.signature = str_from(p->signature);
    msg.attestation.status_signature = result->signature;
    c->on_answer(c->ud, &msg);
}

static void challenge_on_challenge_signed(void *ud, const struct signer_result *result)
{
    struct pending *p = ud;
    struct msg_attestation_response response;
    struct signer_statement statement;

    p->taken = false;
    if (result->code < 0 || p->dropped ||
        !challenge_copy_text(p->signature, sizeof p->signature, result->signature))
        return;
    p->posture = posture_measure(p->owner->machine->root);
    response = challenge_response_of(p);
    statement = (struct signer_statement){
        .kind = SIGN_STATUS, .status = status_of_response(&response, str_from(p->timestamp))};
    p->taken = signer_sign(p->owner->signer, &statement, challenge_on_status_signed, p) == 0;
}

int challenges_new(const struct machine *machine, struct signer *signer,
                   challenge_answer_cb *on_answer, void *ud, struct challenges **ret_challenges)
{
    struct challenges *c = calloc(1, sizeof *c);

    if (!c)
        return ERR_NOMEM;
    *c =
        (struct challenges){.machine = machine, .signer = signer, .on_answer = on_answer, .ud = ud};
    for (int i = 0; i < CHALLENGE_SLOTS; i++)
        c->slots[i].owner = c;
    *ret_challenges = c;
    return 0;
}

static struct pending *challenge_free_slot(struct challenges *c)
{
    for (int i = 0; i < CHALLENGE_SLOTS; i++) {
        if (!c->slots[i].taken)
            return &c->slots[i];
    }
    return NULL;
}

int challenges_take(struct challenges *c, const struct msg_attestation_challenge *m)
{
    struct pending *p = challenge_free_slot(c);
    struct signer_statement statement;
    int rc;

    if (!p)
        return ERR_BUSY;
    if (!challenge_copy_text(p->nonce, sizeof p->nonce, m->nonce) ||
        !challenge_copy_text(p->timestamp, sizeof p->timestamp, m->timestamp))
        return ERR_RANGE;
    statement = (struct signer_statement){
        .kind = SIGN_CHALLENGE,
        .challenge = {.nonce = str_from(p->nonce), .timestamp = str_from(p->timestamp)}};
    rc = signer_sign(c->signer, &statement, challenge_on_challenge_signed, p);
    p->taken = rc == 0;
    p->dropped = false;
    return rc;
}

void challenges_drop(struct challenges *c)
{
    for (int i = 0; i < CHALLENGE_SLOTS; i++)
        c->slots[i].dropped = true;
}

void challenges_free(struct challenges *c)
{
    free(c);
}
