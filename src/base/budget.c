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

/* Charge the levels from `b` up to, and not including, `end`. */
static int budget_charge_to(struct budget *b, const struct budget *end, size_t n,
                            struct err *ret_err)
{
    for (struct budget *at = b; at != end; at = at->parent) {
        if (budget_take(at, n))
            continue;
        for (struct budget *undo = b; undo != at; undo = undo->parent)
            budget_subtract(undo, n);
        return budget_refused(at, n, ret_err);
    }
    return 0;
}

int budget_charge(struct budget *b, size_t n, struct err *ret_err)
{
    return n > 0 ? budget_charge_to(b, NULL, n, ret_err) : 0;
}

void budget_release(struct budget *b, size_t n)
{
    for (; b; b = b->parent)
        budget_subtract(b, n);
}

const struct budget *budget_refuser(const struct budget *b, size_t n)
{
    for (; b; b = b->parent) {
        size_t used = budget_used(b);

        if (used > b->max_bytes || n > b->max_bytes - used)
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

int budget_move(struct budget *b, struct budget *parent, struct err *ret_err)
{
    size_t n = budget_used(b);
    struct budget *common = parent, *old = b->parent;

    while (common && !budget_above(old, common))
        common = common->parent;
    if (n > 0 && budget_charge_to(parent, common, n, ret_err) < 0)
        return ERR_LIMIT;
    for (struct budget *at = old; at != common; at = at->parent)
        budget_subtract(at, n);
    b->parent = parent;
    return 0;
}
