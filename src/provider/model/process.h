/* SPDX-License-Identifier: Apache-2.0 */
/* The engine as a process: started, ended, and mourned. Belongs to the loop's thread. */
#ifndef DARKBLOOM_PROVIDER_MODEL_PROCESS_H
#define DARKBLOOM_PROVIDER_MODEL_PROCESS_H

#include "net/loop.h"

/* What the supervisor (model.h) needs of a process; tests put a script here. One at a time: the
 * next is started only after `exited` was called for the one before. */
struct process_ops {
    /* Start one: *ret_sock is our end of the wire, non-blocking, the caller's to close. `exited` is
     * called once, on the loop's thread and never from inside a call, with a status as waitpid(2)
     * gives it. 0, or a code with what to do. */
    int (*start)(void *ud, void (*exited)(void *exited_ud, int status), void *exited_ud,
                 int *ret_sock, struct err *ret_err);
    /* End it at once; nothing where none runs. */
    void (*kill)(void *ud);
    void *ud;
};

struct process;

/* Of the program darkbloom-engine beside the one that runs. Its environment is made, not inherited:
 * no variable of ours reaches it but those of an allow list. 0 or ERR_NOMEM. */
int process_new(struct loop *l, struct process **ret_process);
/* Ends it and waits for it; `exited` is not called any more. NULL is allowed. */
void process_free(struct process *p);

struct process_ops process_ops(struct process *p);

/* How it ended, in words: "SIGSEGV", "exit status 3". Valid until the next call. */
enum { PROCESS_END_BYTES = 32 };
void process_end_text(int status, char ret_text[static PROCESS_END_BYTES]);

/* Whether it ended in a way that what it worked on may have caused. Not by SIGKILL and its like,
 * which come from outside, and not by an orderly exit. */
bool process_end_is_crash(int status);

#endif
