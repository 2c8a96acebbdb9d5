/* SPDX-License-Identifier: Apache-2.0 */
/* The protections that hold in this process and on this machine, each read back from the kernel at
 * the moment of asking. What has no counterpart on Linux (SIP, the existing system's hypervisor
 * isolation, a sealed system volume, the Python rules) has no field: it is sent as false. */
#ifndef DARKBLOOM_PROVIDER_GUARD_POSTURE_H
#define DARKBLOOM_PROVIDER_GUARD_POSTURE_H

#include <stdbool.h>

#include "base/err.h"
#include "proto/provider_msg.h"
#include "provider/file_hash.h"

struct posture {
    bool core_dumps_disabled; /* RLIMIT_CORE is 0, soft and hard */
    bool anti_debug_enabled;  /* not dumpable, and nobody is tracing */
    bool env_scrubbed;        /* none of guard.h's variables is set */
    bool no_listener;         /* no descriptor of this process accepts connections */
    bool rdma_disabled;       /* the kernel knows no RDMA device */
    bool secure_boot;         /* the firmware says that it is on */
};

/* `root` is put before /proc and /sys paths ("" on a real machine). Any thread. */
struct posture posture_measure(const char *root);

/* The flags of the register message. `engine_in_process`: the text is processed in this process. */
struct msg_privacy posture_privacy(const struct posture *p, bool engine_in_process);

/* Lower-case hex SHA-256 of the running executable. The kernel keeps a running file from being
 * written, so once a process is enough. 0 or ERR_IO. */
int posture_binary_hash(const char *root, char ret_hex[static FILE_HASH_BYTES],
                        struct err *ret_err);

#endif
