/* SPDX-License-Identifier: Apache-2.0 */
/* A coordinator as a process of its own (server.h), with its log in a pipe and a settings file that
 * a test may rewrite: for signals, which virtual time has not. */
#ifndef TESTS_UNIT_COORDINATOR_FAKE_PROCESS_H
#define TESTS_UNIT_COORDINATOR_FAKE_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "store/keys.h"

struct fake_process {
    pid_t pid;
    int log; /* the read end of its stderr */
    char dir[64], file[96];
    char said[1 << 16]; /* the log so far */
    size_t n_said;
    uint16_t port, metrics_port;
};

/* A directory with a settings file: any free port, a store of its own, and `toml` behind that. */
void fake_process_prepare(struct fake_process *p, const char *toml);
void fake_process_write_settings(struct fake_process *p, const char *toml);
/* Start, and wait until it says that it has; its ports are known then. */
void fake_process_start(struct fake_process *p);
/* Read its log until a line has these words; fails the test when it ends first. */
void fake_process_wait_for(struct fake_process *p, const char *words);
void fake_process_signal(struct fake_process *p, int signo);
/* Wait for its end: its exit status, or minus the signal that killed it. */
int fake_process_end(struct fake_process *p);
/* A key with credit, made before the start. */
void fake_process_make_key(struct fake_process *p, char ret_key[static KEY_TEXT_BYTES]);
/* Remove the directory. */
void fake_process_free(struct fake_process *p);

/* A blocking connection to one of its ports. */
int fake_process_connect(uint16_t port);
/* Send what is a whole request; or a GET for `path`, and read the answer to its end,
 * NUL-terminated. */
void fake_process_send(int sock, const char *request);
void fake_process_get(int sock, const char *path, char *ret_answer, size_t size);

#endif
