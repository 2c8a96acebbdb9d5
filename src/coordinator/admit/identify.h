/* SPDX-License-Identifier: Apache-2.0 */
/* From an Authorization header to an account: the key's hash in memory, or a question to the store
 * that suspends the caller. */
#ifndef DARKBLOOM_COORDINATOR_ADMIT_IDENTIFY_H
#define DARKBLOOM_COORDINATOR_ADMIT_IDENTIFY_H

#include "coordinator/admit/accounts.h"
#include "coordinator/coord.h"
#include "proto/api_error.h"

/* Embed in what waits; it must live until `done` was called. */
struct identify {
    struct coord *coord;
    struct key_lookup_op lookup;
    void (*done)(struct identify *q);
    bool pending;
    int rc; /* 0, ERR_AGAIN while pending, ERR_MISSING (no token), ERR_EXISTS (two), ERR_NOT_FOUND,
               ERR_STORE */
    struct account *account; /* when rc is 0 */
};

/* 0: known now; ERR_AGAIN: `done` will be called later; otherwise refused (see identify_error). */
int identify_start(struct identify *q, struct coord *c, const struct http_request *req,
                   void (*done)(struct identify *q));

/* Whether a key is named at all, known or not; and what to say where none is. */
bool identify_names_key(struct str authorization);
#define IDENTIFY_NO_KEY "no API key: send it as `Authorization: Bearer <key>`"

/* What to tell a caller that was refused. */
void identify_error(const struct identify *q, struct api_error *ret_error);

#endif
