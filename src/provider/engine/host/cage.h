/* SPDX-License-Identifier: Apache-2.0 */
/* What the engine's process may still do. Two stages, each for good: before the model's file is
 * looked at, and after it is loaded. Both forbid the network, other programs, other processes and
 * debuggers; the first leaves files open for reading that the model and the library are made of
 * (Landlock), the second leaves none at all. Linux: seccomp(2), landlock(7), prctl(2).
 *
 * A forbidden call fails with EPERM, where a library may try it and go on without; what nothing of
 * ours tries (running a program, tracing, reading another process) ends the process at once. */
#ifndef DARKBLOOM_PROVIDER_ENGINE_HOST_CAGE_H
#define DARKBLOOM_PROVIDER_ENGINE_HOST_CAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/* What holds, each tried out or read back from the kernel at the moment of asking. */
struct cage_facts {
    bool no_new_files, no_network; /* open(2) and socket(2) fail */
    bool filtered;                 /* a seccomp filter is in force */
    bool not_dumpable;             /* no core dump, no debugger of the same user */
};

enum { CAGE_OOM_SCORE = 900 /* proc(5), oom_score_adj: 1000 is the first to go */ };

/* It ends when its parent does, and before it where memory runs out; no core dump, no debugger, no
 * privileges to gain. 0 or ERR_DENIED.
 */
int cage_bind_to_parent(struct err *ret_err);

/* Before loading, while there is one thread. `model_path` (with its further parts, where it is the
 * first of several) and `library_dir` stay readable, and what the kernel tells of the processors.
 * *ret_landlock_abi 0: this kernel has no Landlock, and reading is not restricted until the second
 * stage. 0 or ERR_DENIED. */
int cage_close_for_loading(const char *model_path, const char *library_dir,
                           int32_t *ret_landlock_abi, struct err *ret_err);

/* After loading, for all threads: no file is opened any more, no code is made, and the process may
 * take `growth_bytes` of memory beyond what it has now. 0 or ERR_DENIED. */
int cage_close_for_serving(int64_t growth_bytes, struct err *ret_err);

struct cage_facts cage_measure(void);

#endif
