/* SPDX-License-Identifier: Apache-2.0 */
/* Answers, read by the library's parsers. */
#include "provider/engine/chat_shim_impl.h"

#include <memory>

struct chat_reader {
    common_chat_parser_params params;
    std::string text;
    common_chat_msg told; /* what has been taken */
};

namespace
{

/* Whether the parser does nothing but pass the answer on as its content. */
bool shim_is_plain(const std::string &parser)
{
    static const char *const harmless[] = {"epsilon", "end", "literal", "sequence", "prefix"};
    auto saved = common_json::parse(parser);

    for (const auto &node : saved.at("parsers")) {
        std::string type = node.at("type");
        bool plain = false;

        for (const char *word : harmless)
            plain = plain || type == word;
        if (type == "tag")
            plain = node.at("tag") == "content";
        if (type == "until")
            plain = node.at("delimiters").empty();
        if (!plain)
            return false;
    }
    return true;
}

/* The text behind what was told already; none while the reading wavers. */
std::string shim_news(const std::string &told, const std::string &now)
{
    return now.compare(0, told.size(), told) == 0 ? now.substr(told.size()) : std::string();
}

struct shim_teller {
    chat_reader *r;
    int (*take)(void *ud, enum chat_shim_channel channel, int call, const char *text, size_t n);
    void *ud;
    int rc;

    void tell(chat_shim_channel channel, int call, std::string &told, const std::string &now)
    {
        std::string news = shim_news(told, now);

        if (rc == 0 && !news.empty()) {
            rc = take(ud, channel, call, news.data(), news.size());
            told += news;
        }
        shim_wipe(news);
    }

    void begin_call(size_t i, const common_chat_tool_call &call)
    {
        r->told.tool_calls.emplace_back();
        auto &told = r->told.tool_calls.back();

        told.id = call.id;
        told.name = call.name;
        if (rc == 0)
            rc = take(ud, CHAT_SHIM_CALL_ID, (int)i, call.id.data(), call.id.size());
        if (rc == 0)
            rc = take(ud, CHAT_SHIM_CALL_NAME, (int)i, call.name.data(), call.name.size());
    }

    void tell_all(const common_chat_msg &now)
    {
        tell(CHAT_SHIM_REASONING, 0, r->told.reasoning_content, now.reasoning_content);
        tell(CHAT_SHIM_CONTENT, 0, r->told.content, now.content);
        for (size_t i = 0; rc == 0 && i < now.tool_calls.size(); i++) {
            if (now.tool_calls[i].name.empty())
                break; /* its name is still to come */
            if (i == r->told.tool_calls.size())
                begin_call(i, now.tool_calls[i]);
            tell(CHAT_SHIM_CALL_ARGUMENTS, (int)i, r->told.tool_calls[i].arguments,
                 now.tool_calls[i].arguments);
        }
    }
};

bool shim_parse(chat_reader *r, bool partial, common_chat_msg &ret_msg)
{
    try {
        ret_msg = common_chat_parse(r->text, partial, r->params);
        return true;
    } catch (const std::bad_alloc &) {
        throw;
    } catch (...) {
        return false;
    }
}

/* Of an end that has not the form: as far as it could be read; if that was nothing, as it stands.
 */
void shim_parse_end(chat_reader *r, common_chat_msg &ret_msg)
{
    if (shim_parse(r, false, ret_msg) || shim_parse(r, true, ret_msg))
        return;
    ret_msg = r->told;
    if (ret_msg.empty())
        ret_msg.content = r->text;
}

} // namespace

extern "C" struct chat_reader *chat_reader_new(const struct chat_form *f, bool *ret_failed)
{
    *ret_failed = false;
    try {
        if (f->params.parser.empty() || shim_is_plain(f->params.parser))
            return nullptr;
        auto r = std::unique_ptr<chat_reader>(new chat_reader());

        r->params = common_chat_parser_params(f->params);
        r->params.reasoning_format = COMMON_REASONING_FORMAT_DEEPSEEK;
        r->params.parser.load(f->params.parser);
        return r.release();
    } catch (...) {
        *ret_failed = true;
        return nullptr;
    }
}

extern "C" void chat_reader_free(struct chat_reader *r)
{
    if (r) {
        shim_wipe(r->text);
        shim_wipe(r->told.content);
        shim_wipe(r->told.reasoning_content);
        for (auto &call : r->told.tool_calls)
            shim_wipe(call.arguments);
    }
    delete r;
}

extern "C" int chat_reader_add(struct chat_reader *r, const char *text, size_t n)
{
    try {
        r->text.append(text, n);
        return 0;
    } catch (...) {
        return -1;
    }
}

extern "C" size_t chat_reader_bytes(const struct chat_reader *r)
{
    return r->text.size();
}

extern "C" int chat_reader_read(struct chat_reader *r, bool end,
                                int (*take)(void *ud, enum chat_shim_channel channel, int call,
                                            const char *text, size_t n),
                                void *ud)
{
    try {
        common_chat_msg now;
        shim_teller teller{r, take, ud, 0};

        if (end)
            shim_parse_end(r, now);
        else if (!shim_parse(r, true, now))
            return 0;
        teller.tell_all(now);
        return teller.rc;
    } catch (...) {
        return -1;
    }
}
