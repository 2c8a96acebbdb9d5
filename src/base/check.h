/* SPDX-License-Identifier: Apache-2.0 */
/* Invariants that are checked in every build, release too (after HAProxy's BUG_ON):
 *
 *     CHECK(b->len <= b->max_bytes);
 *
 * If the condition is false, "FILE:LINE: broken invariant: CONDITION" goes to stderr and the
 * process aborts. Use it where going on would corrupt memory, leak a prompt or lose money, and
 * where the condition costs a compare or two. Never use it for input: a peer, a file or a setting
 * that is wrong is an error (base/err.h). The condition has no side effects. Nothing is allocated
 * and no lock is taken, so it works on any thread and on a broken heap. */
#ifndef DARKBLOOM_BASE_CHECK_H
#define DARKBLOOM_BASE_CHECK_H

#include <stddef.h>

#define CHECK_TEXT_OF_(x) #x
#define CHECK_TEXT_OF(x)  CHECK_TEXT_OF_(x)

/* The whole line is one literal made by the compiler: the failing side is one call. */
#define CHECK_TEXT(words) __FILE__ ":" CHECK_TEXT_OF(__LINE__) ": broken invariant: " words "\n"

#define CHECK(cond) CHECK_OR_FAIL(cond, CHECK_TEXT(#cond))
#define CHECK_OR_FAIL(cond, text) \
    (__builtin_expect(!(cond), 0) ? check_failed((text), sizeof(text) - 1) : (void)0)

/* Write `text` to stderr and abort. */
__attribute__((noreturn, cold)) void check_failed(const char *text, size_t n);

#endif
