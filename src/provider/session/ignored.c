/* SPDX-License-Identifier: Apache-2.0 */
/* Messages that cannot be used. */
#include "provider/session/ignored.h"

void ignored_add(struct ignored *ig, const struct log *log, struct str name, const char *why)
{
    char *kept;

    ig->count++;
    if (name.n >= IGNORED_NAME_BYTES)
        name.n = IGNORED_NAME_BYTES - 1;
    for (int i = 0; i < ig->n_names; i++) {
        if (str_is(name, ig->names[i]))
            return;
    }
    if (ig->n_names == IGNORED_NAMES)
        return;
    kept = ig->names[ig->n_names++];
    if (name.n)
        memcpy(kept, name.p, name.n);
    kept[name.n] = '\0';
    log_event(log, LOG_WARN, EV_MESSAGE_IGNORED, KV_STR("type", name), KV_CSTR("why", why),
              KV_INT("ignored_total", ig->count));
}
