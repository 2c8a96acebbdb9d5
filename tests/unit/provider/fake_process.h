/* SPDX-License-Identifier: Apache-2.0 */
/* An engine's process by script: the test reads what the daemon tells it, answers, and ends. */
#ifndef DARKBLOOM_TESTS_UNIT_PROVIDER_FAKE_PROCESS_H
#define DARKBLOOM_TESTS_UNIT_PROVIDER_FAKE_PROCESS_H

#include "net/loop_fake.h"
#include "provider/model/process.h"
#include "provider/wire/wire.h"

struct fake_process {
    struct loop *loop;
    int listener;
    uint16_t port;
    int engine_end; /* of the engine that runs */
    struct {
        int daemon_end, engine_end;
    } spare[2]; /* wires of the next starts, made beforehand */
    int n_spare, connected;
    bool running, start_fails;
    int starts, kills;
    void (*exited)(void *ud, int status);
    void *exited_ud;
    struct buf in; /* what the daemon said */
    size_t heard_bytes;
};

void fake_process_up(struct fake_process *p, struct loop *loop);
void fake_process_down(struct fake_process *p);
struct process_ops fake_process_ops(struct fake_process *p);

/* The next frame of the daemon; false: there is none. */
bool fake_process_hears(struct fake_process *p, struct wire_msg *ret_msg);
void fake_process_says(struct fake_process *p, const struct wire_msg *m);
void fake_process_says_bytes(struct fake_process *p, struct str bytes);
/* It ends with that status, as waitpid(2) gives it. */
void fake_process_ends(struct fake_process *p, int status);

#endif
