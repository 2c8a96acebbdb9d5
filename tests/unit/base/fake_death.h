/* SPDX-License-Identifier: Apache-2.0 */
/* What a process says that dies of a broken invariant (base/check.h). */
#ifndef TESTS_UNIT_BASE_FAKE_DEATH_H
#define TESTS_UNIT_BASE_FAKE_DEATH_H

#include <stddef.h>

/* Run `deed(ud)` in a child process. True if the child aborted; its stderr (cut to `size` - 1
 * bytes, NUL-terminated) is in `ret_said`. */
_Bool fake_death(void (*deed)(void *ud), void *ud, char *ret_said, size_t size);

#endif
