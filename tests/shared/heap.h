/* SPDX-License-Identifier: Apache-2.0 */
/* What is allocated now, for tests that say that something leaves nothing behind. Sanitizers bring
 * an allocator of their own, which is asked where it is linked in. */
#ifndef TESTS_SHARED_HEAP_H
#define TESTS_SHARED_HEAP_H

#include <malloc.h>
#include <stddef.h>

size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

static inline size_t heap_live_bytes(void)
{
    if (__sanitizer_get_current_allocated_bytes)
        return __sanitizer_get_current_allocated_bytes();
    return mallinfo2().uordblks;
}

#endif
