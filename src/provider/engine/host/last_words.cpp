/* SPDX-License-Identifier: Apache-2.0 */
#include "provider/engine/host/last_words.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <cxxabi.h>
#include <exception>
#include <ggml.h>
#include <typeinfo>

/* Neither hook carries a pointer of its own. Set once, before there is a second thread. */
static struct {
    void (*say)(void *ud, const char *text);
    void *ud;
} last_words_to;

static void last_words_of_exception()
{
    const std::type_info *type = abi::__cxa_current_exception_type();
    char text[160];

    (void)snprintf(text, sizeof text, "an exception of type %.100s", type ? type->name() : "?");
    last_words_to.say(last_words_to.ud, text);
    abort();
}

/* "FILE:LINE: what was asserted": the last part may have been made of anything. */
static void last_words_of_assertion(const char *message)
{
    const char *colon = strchr(message, ':');
    const char *end = colon ? strchr(colon + 1, ':') : nullptr;
    char text[160];

    (void)snprintf(text, sizeof text, "an assertion at %.*s",
                   end && end - message < 120 ? (int)(end - message) : 0, message);
    last_words_to.say(last_words_to.ud, text);
}

extern "C" void last_words_install(void (*say)(void *ud, const char *text), void *ud)
{
    last_words_to.say = say;
    last_words_to.ud = ud;
    std::set_terminate(last_words_of_exception);
    (void)ggml_set_abort_callback(last_words_of_assertion);
}
