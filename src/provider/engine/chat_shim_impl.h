/* SPDX-License-Identifier: Apache-2.0 */
/* What the two files of the chat shim share. C++, and private to them. */
#ifndef DARKBLOOM_PROVIDER_ENGINE_CHAT_SHIM_IMPL_H
#define DARKBLOOM_PROVIDER_ENGINE_CHAT_SHIM_IMPL_H

#include <chat.h>
#include <sodium.h>
#include <string>
#include <vector>

#include "provider/engine/chat_shim.h"

struct chat_form {
    common_chat_params params;
    std::vector<std::string> lists[6]; /* by enum chat_form_list */
};

static inline void shim_wipe(std::string &s)
{
    if (!s.empty())
        sodium_memzero(&s[0], s.size());
}

#endif
