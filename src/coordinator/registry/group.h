/* SPDX-License-Identifier: Apache-2.0 */
/* The registries of a coordinator with several event loops, and what they share: the directory of
 * what each has to offer (directory.h), and which of them knows a key. A provider belongs to the
 * loop that has its socket; what is known of its key (record.h) belongs to the loop where the key
 * was proven last, and moves by message when it is proven on another one (claim.c).
 *
 * Threads: made, joined and freed while one thread runs; the calls on keys are for any thread,
 * under a lock. */
#ifndef DARKBLOOM_COORDINATOR_REGISTRY_GROUP_H
#define DARKBLOOM_COORDINATOR_REGISTRY_GROUP_H

#include "coordinator/registry/directory.h"

struct inbox;
struct registry;
struct registry_group;

/* NULL: no memory. */
struct registry_group *registry_group_new(unsigned n_loops);
/* All registries have been freed. NULL is allowed. */
void registry_group_free(struct registry_group *g);

/* The registry of loop `loop`, and where messages to it go. */
void registry_group_join(struct registry_group *g, unsigned loop, struct registry *reg,
                         struct inbox *inbox);

struct directory *registry_group_directory(struct registry_group *g);
struct registry *registry_group_member(const struct registry_group *g, unsigned loop);
struct inbox *registry_group_inbox(const struct registry_group *g, unsigned loop);

/* Registered providers of each loop, for who counts them all. Any thread. */
void registry_group_set_count(struct registry_group *g, unsigned loop, size_t connected);
size_t registry_group_count(const struct registry_group *g);

/* Sockets of providers on each loop, registered or not. The loop that takes a new one: `here`
 * unless another one has fewer. It counts there from now on; when the provider has begun there, or
 * will not, it is unseated, and counts as itself. Any thread. */
unsigned registry_group_seat(struct registry_group *g, unsigned here);
void registry_group_unseat(struct registry_group *g, unsigned loop);
void registry_group_count_socket(struct registry_group *g, unsigned loop, int n);

/* --- whose is a key (hex SHA-256)? --- */

/* `here`, where nobody else knows the key; from now on it is here. Otherwise the loop that knows
 * it, and nothing has changed. */
unsigned registry_group_claim_key(struct registry_group *g, const char *key, unsigned here);
/* `here` gives the key to loop `to`: true. False: it is not here (any more), ask `*ret_owner`. */
bool registry_group_pass_key(struct registry_group *g, const char *key, unsigned here, unsigned to,
                             unsigned *ret_owner);
/* `here` has forgotten all that it knew of the key. */
void registry_group_forget_key(struct registry_group *g, const char *key, unsigned here);

#endif
