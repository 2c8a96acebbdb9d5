/* SPDX-License-Identifier: Apache-2.0 */
#include "provider/engine/deep_stack.h"

#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/err.h"

enum { NEAR_BYTES = 64 << 10 /* the frames that are in use by then are smaller */ };

int deep_stack_start(struct deep_stack *d, size_t stack_bytes, void *(*run)(void *arg), void *arg)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes = (stack_bytes + page - 1) / page * page;
    pthread_attr_t attr;
    void *map = mmap(NULL, page + bytes, PROT_NONE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    int failed;

    if (map == MAP_FAILED)
        return ERR_NOMEM;
    failed = mprotect((char *)map + page, bytes, PROT_READ | PROT_WRITE);
    if (!failed)
        failed = pthread_attr_init(&attr);
    if (!failed) {
        failed = pthread_attr_setstack(&attr, (char *)map + page, bytes);
        if (!failed)
            failed = pthread_create(&d->thread, &attr, run, arg);
        pthread_attr_destroy(&attr);
    }
    if (failed) {
        munmap(map, page + bytes);
        return ERR_NOMEM;
    }
    d->map = map;
    d->map_bytes = page + bytes;
    return 0;
}

void deep_stack_forget(const struct deep_stack *d)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *low = (char *)d->map + page, *here = __builtin_frame_address(0);
    size_t below;

    here -= (uintptr_t)here % page;
    below = here > low ? (size_t)(here - low) : 0;
    if (below > NEAR_BYTES)
        (void)madvise(low, below - NEAR_BYTES, MADV_DONTNEED);
}

void deep_stack_join(struct deep_stack *d)
{
    if (!d->map)
        return;
    pthread_join(d->thread, NULL);
    munmap(d->map, d->map_bytes);
    d->map = NULL;
}
