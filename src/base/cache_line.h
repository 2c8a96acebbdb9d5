/* SPDX-License-Identifier: Apache-2.0 */
/* Memory moves between cores in lines. What several threads write often has lines of its own
 * (_Alignas), so that whoever only reads its neighbours does not wait for them. */
#ifndef DARKBLOOM_BASE_CACHE_LINE_H
#define DARKBLOOM_BASE_CACHE_LINE_H

#include <stdlib.h>
#include <string.h>

enum { CACHE_LINE_BYTES = 64 };

/* As calloc(1, size), for a struct that has such members. NULL: no memory. */
static inline void *cache_line_alloc(size_t size)
{
    void *p = aligned_alloc(CACHE_LINE_BYTES, size);

    return p ? memset(p, 0, size) : NULL;
}

#endif
