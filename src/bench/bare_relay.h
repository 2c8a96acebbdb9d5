/* SPDX-License-Identifier: Apache-2.0 */
/* The floor under every figure of the coordinator: a process on its core that forwards bytes
 * between two sockets and knows nothing of them. What it adds is the machine's: wake-ups and the
 * kernel. */
#ifndef DARKBLOOM_BENCH_BARE_RELAY_H
#define DARKBLOOM_BENCH_BARE_RELAY_H

#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

struct bare_relay {
    pid_t pid;
    uint16_t port; /* on 127.0.0.1 */
};

/* Fork the relay, pinned to `core`; each connection to its port gets one to `upstream_port`. */
int bare_relay_start(int core, uint16_t upstream_port, struct bare_relay *ret_relay);
void bare_relay_stop(struct bare_relay *r);

#endif
