/* SPDX-License-Identifier: Apache-2.0 */
/* A thread on a stack of a chosen size: address space that becomes memory where it is used, with a
 * page below it that nobody may touch. */
#ifndef DARKBLOOM_PROVIDER_ENGINE_DEEP_STACK_H
#define DARKBLOOM_PROVIDER_ENGINE_DEEP_STACK_H

#include <pthread.h>
#include <stddef.h>

struct deep_stack {
    pthread_t thread;
    void *map; /* NULL: not started */
    size_t map_bytes;
};

/* 0 or ERR_NOMEM. */
int deep_stack_start(struct deep_stack *d, size_t stack_bytes, void *(*run)(void *arg), void *arg);

/* On that thread: what lies far below the caller's frame is given back, and with it what it held.
 */
void deep_stack_forget(const struct deep_stack *d);

/* Wait for its end and free the stack. One that was not started (zeroed) is allowed. */
void deep_stack_join(struct deep_stack *d);

#endif
