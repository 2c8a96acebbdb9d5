/* SPDX-License-Identifier: Apache-2.0 */
/* Messages that cannot be used: counted, and named in the log once for each name, so that a peer
 * that repeats itself cannot fill the log. */
#ifndef DARKBLOOM_PROVIDER_SESSION_IGNORED_H
#define DARKBLOOM_PROVIDER_SESSION_IGNORED_H

#include "base/log.h"

enum { IGNORED_NAMES = 16, IGNORED_NAME_BYTES = 48 };

struct ignored {
    uint64_t count;
    char names[IGNORED_NAMES][IGNORED_NAME_BYTES];
    int n_names;
};

/* Count one; the first of its name writes a line with `why`. Names beyond IGNORED_NAMES are only
 * counted. */
void ignored_add(struct ignored *ig, const struct log *log, struct str name, const char *why);

#endif
