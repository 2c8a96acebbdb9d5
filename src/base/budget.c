/* SPDX-License-Identifier: Apache-2.0 */
#include "base/budget.h"

#include "base/check.h"

void budget_init(struct budget *b, const char *name, size_t max_bytes, struct budget *parent)
{
    *b = (struct budget){.name = name, .max_bytes = max_bytes, .parent = parent};
}

void budget_init_shared(struct budget *b, const char *name, size_t max_bytes, struct budget *parent)
{
    CHECK(!parent || parent->shared);
    budget_init(b, name, max_bytes, parent);
    b->shared = true;
}

/* A level of one thread is changed without the cost of a locked instruction. */
static size_t budget_add(struct budget *b, size_t n)
{
    size_t before;

    if (b->shared)
        return atomic_fetch_add_explicit(&b->used, n, memory_order_relaxed);
    before = budget_used(b);
    atomic_store_explicit(&b->used, before + n, memory_order_relaxed);
    return before;
}

static void budget_subtract(struct budget *b, size_t n)
{
    size_t before = budget_add(b, 0 - n);

    CHECK(before >= n);
}

/* Charged first and looked at then: two threads cannot both take the last room. */
static bool budget_take(struct budget *b, size_t n)
{
    size_t before = n <= b->max_bytes ? budget_add(b, n) : SIZE_MAX;

    if (before <= b->max_bytes && n <= b->max_bytes - before)
        return true;
    if (before != SIZE_MAX)
        (void)budget_add(b, 0 - n);
    atomic_fetch_add_explicit(&b->refusals, 1, memory_order_relaxed);
    return false;
}

static int budget_refused(const struct budget *b, size_t n, struct err *ret_err)
{
    return err_set(ret_err, ERR_LIMIT,
                   "the memory of %s is used up: %zu more bytes asked for, %zu of %zu used",
                   b->name, n, budget_used(b), b->max_bytes);
}

static size_t budget_in_blocks(const struct budget *b, size_t n)
{
    size_t over = n % b->block_bytes;

    return over > 0 && n <= SIZE_MAX - b->block_bytes ? n + b->block_bytes - over : n;
}

/* What the drawer has to take from its parent so that `n` more bytes may be used. */
static size_t budget_lacking(const struct budget *b, size_t n)
{
    size_t room = b->drawn - budget_used(b);

    return n > room ? n - room : 0;
}

/* Charge the levels from `b` up to, and not including, `end` (NULL where a drawer is among them).
 * The one that refuses, or NULL. */
static struct budget *budget_charge_to(struct budget *b, const struct budget *end, size_t n);

static struct budget *budget_charge_drawer(struct budget *b, size_t n)
{
    size_t lacking = budget_lacking(b, n), block = budget_in_blocks(b, lacking);

    if (lacking > 0) {
        struct budget *refuser;

        if (budget_refuser(b->parent, block))
            block = lacking; /* the last of it */
        refuser = budget_charge_to(b->parent, NULL, block);
        if (refuser)
            return refuser;
        b->drawn += block;
    }
    (void)budget_add(b, n);
    return NULL;
}

static struct budget *budget_charge_to(struct budget *b, const struct budget *end, size_t n)
{
    for (struct budget *at = b; at != end; at = at->parent) {
        struct budget *refuser = at->block_bytes > 0  ? budget_charge_drawer(at, n)
                                 : budget_take(at, n) ? NULL
                                                      : at;

        if (refuser) {
            for (struct budget *undo = b; undo != at; undo = undo->parent)
                budget_subtract(undo, n);
            return refuser;
        }
        if (at->block_bytes > 0)
            break; /* it has charged its parents */
    }
    return NULL;
}

int budget_charge(struct budget *b, size_t n, struct err *ret_err)
{
    const struct budget *refuser = n > 0 && b ? budget_charge_to(b, NULL, n) : NULL;

    return refuser ? budget_refused(refuser, n, ret_err) : 0;
}

/* What a drawer keeps beyond one block goes back when it is two. */
static size_t budget_surplus(struct budget *b)
{
    size_t kept = b->drawn - budget_used(b);

    return kept < 2 * b->block_bytes ? 0 : kept - kept % b->block_bytes - b->block_bytes;
}

static void budget_release_to(struct budget *b, const struct budget *end, size_t n)
{
    for (; b != end && n > 0; b = b->parent) {
        budget_subtract(b, n);
        if (b->block_bytes > 0) {
            n = budget_surplus(b);
            b->drawn -= n;
        }
    }
}

void budget_release(struct budget *b, size_t n)
{
    budget_release_to(b, NULL, n);
}

/* --- drawers --- */

void budget_init_drawer(struct budget *b, size_t block_bytes, struct budget *parent)
{
    CHECK(parent->shared && block_bytes > 0);
    budget_init(b, parent->name, SIZE_MAX, parent);
    b->block_bytes = block_bytes;
}

void budget_empty_drawer(struct budget *b)
{
    CHECK(budget_used(b) == 0);
    budget_release(b->parent, b->drawn);
    b->drawn = 0;
}

void budget_leave_drawer(struct budget *b)
{
    struct budget *drawer = b->parent;
    size_t n = budget_used(b);

    if (!drawer || drawer->block_bytes == 0)
        return;
    budget_subtract(drawer, n);
    drawer->drawn -= n;
    b->parent = drawer->parent;
}

void budget_enter_drawer(struct budget *b, struct budget *drawer)
{
    size_t n = budget_used(b);

    if (!drawer || drawer->block_bytes == 0)
        return;
    CHECK(b->parent == drawer->parent);
    (void)budget_add(drawer, n);
    drawer->drawn += n;
    b->parent = drawer;
}

const struct budget *budget_refuser(const struct budget *b, size_t n)
{
    for (; b; b = b->parent) {
        size_t used = budget_used(b);

        if (b->block_bytes > 0)
            n = budget_lacking(b, n);
        else if (used > b->max_bytes || n > b->max_bytes - used)
            return b;
    }
    return NULL;
}

int budget_refusal(const struct budget *b, size_t n, struct err *ret_err)
{
    const struct budget *level = budget_refuser(b, n);

    /* Room may have come meanwhile; the refusal still needs words. */
    return level ? budget_refused(level, n, ret_err)
                 : err_set(ret_err, ERR_LIMIT, "memory was used up a moment ago; try again");
}

static bool budget_above(const struct budget *b, const struct budget *level)
{
    for (; b; b = b->parent) {
        if (b == level)
            return true;
    }
    return false;
}

/* The lowest level above both that is charged by the byte: below it there may be drawers, which
 * charge otherwise than what moves. */
static struct budget *budget_common(struct budget *from, struct budget *to)
{
    for (struct budget *at = from; at; at = at->parent) {
        if (at->block_bytes > 0)
            return NULL;
    }
    for (; to && !budget_above(from, to); to = to->parent) {
        if (to->block_bytes > 0)
            return NULL;
    }
    return to;
}

int budget_move(struct budget *b, struct budget *parent, struct err *ret_err)
{
    size_t n = budget_used(b);
    struct budget *common = budget_common(b->parent, parent), *old = b->parent;
    const struct budget *refuser;

    if (old == parent)
        return 0;
    refuser = n > 0 && parent ? budget_charge_to(parent, common, n) : NULL;
    if (refuser)
        return budget_refused(refuser, n, ret_err);
    budget_release_to(old, common, n);
    b->parent = parent;
    return 0;
}
