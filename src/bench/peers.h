/* SPDX-License-Identifier: Apache-2.0 */
/* The two sides of a comparison as processes over the same model: the whole product (coordinator
 * and provider, ledger and sealing on) and llama-server. One of them works at a time: llama-server
 * is stopped (SIGSTOP) while the product does; the product, whose connections do not outlive a
 * stop, is left idle, and what it takes of the processors meanwhile is counted. */
#ifndef DARKBLOOM_BENCH_PEERS_H
#define DARKBLOOM_BENCH_PEERS_H

#include "bench/child.h"
#include "bench/stream.h"

enum peers_side { PEERS_PRODUCT, PEERS_SERVER, PEERS_SIDES };

struct peers_config {
    const char *coordinator, *provider, *server; /* programs */
    const char *model;                           /* GGUF file */
    int streams;                                 /* llama-server's -np */
    int slots;                                   /* the provider's */
    int context_tokens;                          /* of each stream, on both sides */
    const char *provider_args, *server_args; /* more arguments, separated by spaces; NULL: none */
};

struct peers {
    struct loop *loop;
    struct child coordinator;        /* its key is an account's with credit */
    char other_key[CHILD_KEY_BYTES]; /* another account's */
    pid_t provider, server;
    uint16_t server_port;
    int64_t idle_cpu_us,
        idle_us; /* the product while the other works: processor time, and how long */
    int64_t paused_at_us, paused_cpu_us;
};

/* Start both and wait until each answers `body`, a chat request. On failure too peers_stop is due.
 */
int peers_start(const struct peers_config *config, struct str body, struct peers *ret_peers,
                struct err *ret_err);
void peers_stop(struct peers *p);

/* Give the processors to one side, until it is the other's turn. */
void peers_turn(struct peers *p, enum peers_side side);

/* Where a side listens, and with which key. */
uint16_t peers_port(const struct peers *p, enum peers_side side);
const char *peers_key(const struct peers *p, enum peers_side side);

/* Run the loop for a while. */
void peers_wait(struct peers *p, int64_t us);

#endif
