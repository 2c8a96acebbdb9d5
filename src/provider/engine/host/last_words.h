/* SPDX-License-Identifier: Apache-2.0 */
/* When the library ends the process (an exception that nothing catches, a broken assertion), the
 * daemon is told where, so that the log can say more than "SIGABRT". An exception's message may
 * hold text of a prompt: only its type's name leaves, and of an assertion only file and line. */
#ifndef DARKBLOOM_PROVIDER_ENGINE_HOST_LAST_WORDS_H
#define DARKBLOOM_PROVIDER_ENGINE_HOST_LAST_WORDS_H

#ifdef __cplusplus
extern "C" {
#endif

/* For the life of the process; once. */
void last_words_install(void (*say)(void *ud, const char *text), void *ud);

#ifdef __cplusplus
}
#endif

#endif
