/* SPDX-License-Identifier: Apache-2.0 */
/* A bound on memory that many objects share, in levels: what a socket charges is also charged to
 * its class (unregistered, provider, consumer) and to the whole process. A level refuses what would
 * bring it over its maximum; then no level is charged. Nothing is allocated: a budget lives in its
 * owner, and its parent must outlive it.
 *
 *     process ← providers ← one socket's struct budget ← its buffers (buf_set_budget)
 *
 * A level belongs to one thread, unless it was made shared: then every thread may charge it, and
 * its parents must be shared too. Threads that charge a shared level all the time do it through a
 * drawer each: a level without a maximum of its own that takes from the shared one in blocks, and
 * keeps up to two of them for what is charged next. NULL is a budget without bounds in every call.
 *
 *     consumers (shared) ← a loop's drawer ← one socket's struct budget */
#ifndef DARKBLOOM_BASE_BUDGET_H
#define DARKBLOOM_BASE_BUDGET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct budget {
    const char *name; /* in errors, as in "the memory of %s"; borrowed */
    struct budget *parent;
    size_t max_bytes; /* may be changed at any time; what is charged already stays */
    bool shared;
    size_t block_bytes;        /* of a drawer; 0: it is none */
    size_t drawn;              /* of a drawer: charged to its parent; at least what is used */
    _Atomic size_t used;       /* bytes */
    _Atomic uint64_t refusals; /* charges that this level refused */
};

/* An empty level under `parent` (NULL: the outermost). */
void budget_init(struct budget *b, const char *name, size_t max_bytes, struct budget *parent);
/* The same, for several threads at once. */
void budget_init_shared(struct budget *b, const char *name, size_t max_bytes,
                        struct budget *parent);

/* A drawer of shared level `parent`. */
void budget_init_drawer(struct budget *b, size_t block_bytes, struct budget *parent);
/* Give back what a drawer keeps. Nothing is charged to it any more. */
void budget_empty_drawer(struct budget *b);

/* Charge `n` bytes to the level and all above it. 0, or ERR_LIMIT with a text that names the level
 * that refused, its maximum and what is used of it (see budget_refusal). */
int budget_charge(struct budget *b, size_t n, struct err *ret_err);

/* Give back what was charged. Releasing more than is charged is a broken invariant. */
void budget_release(struct budget *b, size_t n);

/* The lowest level that would refuse `n` more bytes, or NULL: none would. */
const struct budget *budget_refuser(const struct budget *b, size_t n);

/* Put that level's refusal into words, for an operation that was refused: "the memory of this
 * connection is used up: 4096 more bytes asked for, 65536 of 65536 used". Returns ERR_LIMIT. */
int budget_refusal(const struct budget *b, size_t n, struct err *ret_err);

/* Put the level, with all that is charged to it, under another parent (a socket that registered).
 * Levels above both are not charged twice. 0, or ERR_LIMIT: it stays where it was. */
int budget_move(struct budget *b, struct budget *parent, struct err *ret_err);

/* A level that goes to another thread: what is charged to it through a drawer is charged to the
 * shared level itself from now on. One that is under no drawer stays where it is. The drawer's
 * thread. */
void budget_leave_drawer(struct budget *b);
/* And through this one from now on: a drawer of the level that `b` is under; nothing where `drawer`
 * is none. Its thread. */
void budget_enter_drawer(struct budget *b, struct budget *drawer);

static inline size_t budget_used(const struct budget *b)
{
    return atomic_load_explicit(&b->used, memory_order_relaxed);
}

#endif
