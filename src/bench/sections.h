/* SPDX-License-Identifier: Apache-2.0 */
/* Sections of the table. Each prints its own markdown; 0 or a negative error. */
#ifndef DARKBLOOM_BENCH_SECTIONS_H
#define DARKBLOOM_BENCH_SECTIONS_H

/* Added latency to the first token; whole requests a second; relayed chunks a second over both
 * loops. `program` is the coordinator's. */
int bench_latency_section(const char *program);
int bench_requests_section(const char *program);
int bench_relay_section(const char *program);

/* Instructions a request and a relayed chunk cost the coordinator, all threads, counted by
 * valgrind's callgrind: the same from run to run within 1 %, whatever else the machine does. */
int bench_instructions_section(const char *program);

/* The same requests and chunks through a coordinator with 1, 2, 4 … event loops. */
int bench_loops_section(const char *program);

/* A thousand providers that come at once, also after the coordinator was killed; one that fails
 * everything beside two that are full. */
int bench_fleet_section(const char *program);

/* Providers and consumers that come and go at random for SOAK_MINUTES (30). Only when named: it is
 * no part of a run of all sections. An error where memory grows, a request is stuck or the ledger
 * is out of balance. */
int bench_soak_section(const char *program);

/* Decisions among 10,000 and 100,000 providers, in process. */
int bench_routing_section(void);

/* Durable reserve and settle beside the disk's own fdatasync. */
int bench_store_section(void);

/* Tokens a second through the scheduler beside a bare llama_decode loop, and the gaps in an answer
 * while a long prompt comes in. */
int bench_engine_section(const char *model_path);

/* What invariant numerics cost, and what changes without them. */
int bench_numerics_section(const char *model_path);

/* The whole product beside llama-server over the same model and processors. Only when named: it
 * needs that program (make bench PEERS=1). Variables: PEERS_MODEL (the bench's own), PEERS_SERVER
 * (deps/peers/bin/llama-server), PEERS_STREAMS ("1 4 8 16"), PEERS_TOKENS of an answer (256),
 * PEERS_ROUNDS (3), PEERS_CONTEXT (2048), PEERS_SLOTS of the provider (as many as streams),
 * PEERS_PROVIDER_ARGS and PEERS_SERVER_ARGS, more arguments for the two. */
int bench_peers_section(const char *program);

#endif
