/* SPDX-License-Identifier: Apache-2.0 */
/* Intrusive doubly linked lists. A struct list_node lives in its owner; a zeroed node is on no
 * list. The head is a node of its own. */
#ifndef DARKBLOOM_BASE_LIST_H
#define DARKBLOOM_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/check.h"

struct list_node {
    struct list_node *prev, *next;
};

static inline void list_init(struct list_node *head)
{
    head->prev = head->next = head;
}

static inline bool list_empty(const struct list_node *head)
{
    return head->next == head;
}

static inline bool list_linked(const struct list_node *n)
{
    return n->next != NULL;
}

/* `n` must be on no list: it would stay half linked into the other. */
static inline void list_push_back(struct list_node *head, struct list_node *n)
{
    CHECK(!list_linked(n));
    n->prev = head->prev;
    n->next = head;
    head->prev->next = n;
    head->prev = n;
}

/* Unlinks; a node on no list is left alone. */
static inline void list_remove(struct list_node *n)
{
    if (!n->next)
        return;
    CHECK(n->prev->next == n && n->next->prev == n);
    n->prev->next = n->next;
    n->next->prev = n->prev;
    n->prev = n->next = NULL;
}

/* All of `from` go to the end of the other, in their order. */
static inline void list_move_all(struct list_node *head, struct list_node *from)
{
    if (list_empty(from))
        return;
    from->next->prev = head->prev;
    from->prev->next = head;
    head->prev->next = from->next;
    head->prev = from->prev;
    list_init(from);
}

/* The struct that contains this node. */
#define list_owner(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))

#endif
