/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's model over an engine's process by script, in virtual time, and what came of it. */
#ifndef DARKBLOOM_TESTS_UNIT_PROVIDER_FAKE_DAEMON_H
#define DARKBLOOM_TESTS_UNIT_PROVIDER_FAKE_DAEMON_H

#include "provider/model/model.h"
#include "unit/provider/fake_process.h"

enum {
    FAKE_DAEMON_EVENTS = 256,
    FAKE_DAEMON_WAITING = 4, /* requests that may wait in the daemon */
    FAKE_DAEMON_RESTART_MS = 8000,
    FAKE_DAEMON_TEXT_BYTES = 64
};

struct fake_seen {
    struct engine_event event;
    char text[FAKE_DAEMON_TEXT_BYTES];
};

struct fake_daemon {
    struct loop *loop;
    struct fake_process process;
    struct model *model;
    struct log log;
    struct fake_seen seen[FAKE_DAEMON_EVENTS];
    int n_seen, n_changed;
};

int fake_daemon_up(void **state);
int fake_daemon_down(void **state);

/* Started, told what to load, and ready. */
void fake_daemon_start(struct fake_daemon *w);
void fake_daemon_ready(struct fake_daemon *w, const char *hash);
/* The engine comes back after it ended. */
void fake_daemon_come_back(struct fake_daemon *w);
void fake_daemon_say(struct fake_daemon *w, enum engine_event_kind kind, uint64_t tag,
                     const char *text);

/* What the daemon asks for. */
int fake_daemon_ask(struct fake_daemon *w, uint64_t tag, const char *prompt);
void fake_daemon_cancel(struct fake_daemon *w, uint64_t tag);
struct load fake_daemon_load(struct fake_daemon *w);

/* Submits that reach the engine since the last look: their tags, "1 2 ". */
const char *fake_daemon_reached(struct fake_daemon *w);
const struct fake_seen *fake_daemon_last(const struct fake_daemon *w);

#endif
