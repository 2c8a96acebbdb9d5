/* SPDX-License-Identifier: Apache-2.0 */
#include "provider/serve/tombs.h"

#include <string.h>

void tombs_add(struct tombs *t, struct str request_id)
{
    char *place = t->ids[t->next];

    if (!request_id.n || request_id.n > JOB_ID_MAX_BYTES || memchr(request_id.p, 0, request_id.n))
        return;
    memcpy(place, request_id.p, request_id.n);
    place[request_id.n] = '\0';
    t->next = (t->next + 1) % TOMBS_MAX;
}

bool tombs_take(struct tombs *t, struct str request_id)
{
    for (uint32_t i = 0; request_id.n && i < TOMBS_MAX; i++) {
        if (str_is(request_id, t->ids[i])) {
            t->ids[i][0] = '\0';
            return true;
        }
    }
    return false;
}

void tombs_clear(struct tombs *t)
{
    for (uint32_t i = 0; i < TOMBS_MAX; i++)
        t->ids[i][0] = '\0';
}
