/* SPDX-License-Identifier: Apache-2.0 */
#include "provider/engine/chat_shim.h"

#include <chat.h>
#include <string>

struct chat_shim {
    common_chat_templates_ptr templates;
};

extern "C" struct chat_shim *chat_shim_new(const struct llama_model *model)
{
    try {
        auto templates = common_chat_templates_init(model, "");

        return templates ? new chat_shim{std::move(templates)} : nullptr;
    } catch (...) {
        return nullptr;
    }
}

extern "C" void chat_shim_free(struct chat_shim *s)
{
    delete s;
}

extern "C" int chat_shim_render(struct chat_shim *s, const char *messages, size_t n,
                                int (*take)(void *ud, const char *text, size_t n), void *ud)
{
    try {
        common_chat_templates_inputs in;

        in.messages =
            common_chat_msgs_parse_oaicompat(common_json::parse(std::string(messages, n)));
        in.add_generation_prompt = true;
        in.use_jinja = true;
        common_chat_params out = common_chat_templates_apply(s->templates.get(), in);

        return take(ud, out.prompt.data(), out.prompt.size());
    } catch (...) {
        return -1;
    }
}
