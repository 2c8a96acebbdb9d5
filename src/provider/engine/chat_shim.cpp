/* SPDX-License-Identifier: Apache-2.0 */
#include "provider/engine/chat_shim_impl.h"

#include <json-schema-to-grammar.h>
#include <log.h>

namespace
{

const int shim_silent = -100;              /* below every level of the library's log */
const int64_t shim_date_s = 1721995200;    /* 2024-07-26 12:00 UTC: that day in all time zones */
const char shim_date_us[] = "Jul 26 2024"; /* the library's second form */
/* The library's own strftime_now asks the clock, whatever `now` says. */
const char shim_clock[] =
    "{%- macro strftime_now(f) -%}{{- f.replace('%d', '26').replace('%e', '26').replace('%b', "
    "'Jul').replace('%B', 'July').replace('%Y', '2024').replace('%y', '24').replace('%m', "
    "'07').replace('%-m', '7').replace('%-d', '26').replace('%A', 'Friday').replace('%a', "
    "'Fri').replace('%H', '12').replace('%I', '12').replace('%M', '00').replace('%S', "
    "'00').replace('%p', 'PM').replace('%F', '2024-07-26') -}}{%- endmacro -%}";

std::string shim_string(const chat_shim_text &t)
{
    return std::string(t.p ? t.p : "", t.p ? t.n : 0);
}

} // namespace

struct chat_shim {
    common_chat_templates_ptr templates;
    bool knows_tools;
};

/* --- the template --- */

namespace
{

/* The model's template with a clock that stands still; "": it has none, or a second one for tools,
 * which the library would not look at any more. */
std::string shim_timeless(const llama_model *model)
{
    const char *own = llama_model_chat_template(model, nullptr);
    std::string source = own ? own : "";

    if (source.find("strftime_now") == std::string::npos ||
        llama_model_chat_template(model, "tool_use"))
        return "";
    return shim_clock + source;
}

} // namespace

extern "C" struct chat_shim *chat_shim_new(const struct llama_model *model)
{
    try {
        common_log_set_verbosity_thold(shim_silent);
        auto templates = common_chat_templates_init(model, shim_timeless(model));

        if (!templates)
            return nullptr;
        bool knows = common_chat_templates_get_caps(templates.get())["supports_tools"];

        return new chat_shim{std::move(templates), knows};
    } catch (...) {
        return nullptr;
    }
}

extern "C" void chat_shim_free(struct chat_shim *s)
{
    delete s;
}

extern "C" bool chat_shim_knows_tools(const struct chat_shim *s)
{
    return s->knows_tools;
}

/* --- a request --- */

struct shim_wrong {
    enum chat_shim_wrong which;
};

/* Each of these throws what the library throws, or shim_wrong. */
namespace
{

void shim_add_messages(const chat_shim_ask *ask, common_chat_templates_inputs &in)
{
    try {
        in.messages =
            common_chat_msgs_parse_oaicompat(common_json::parse(shim_string(ask->messages)));
    } catch (const std::bad_alloc &) {
        throw;
    } catch (...) {
        throw shim_wrong{CHAT_SHIM_MESSAGES};
    }
}

/* The one function that an object {"function":{"name":…}} asks for stays alone, and is required. */
void shim_choose_function(const std::string &choice, common_chat_templates_inputs &in)
{
    auto object = common_json::parse(choice);
    std::string name = object.at("function").at("name");
    std::vector<common_chat_tool> chosen;

    for (auto &tool : in.tools) {
        if (tool.name == name)
            chosen = {tool};
    }
    if (chosen.empty())
        throw shim_wrong{CHAT_SHIM_CHOICE};
    in.tools = chosen;
    in.tool_choice = COMMON_CHAT_TOOL_CHOICE_REQUIRED;
}

void shim_add_choice(const chat_shim_ask *ask, common_chat_templates_inputs &in)
{
    std::string choice = shim_string(ask->tool_choice);

    try {
        if (choice.empty())
            return;
        if (choice[0] == '{')
            shim_choose_function(choice, in);
        else
            in.tool_choice = common_chat_tool_choice_parse_oaicompat(common_json::parse(choice));
    } catch (const std::bad_alloc &) {
        throw;
    } catch (...) {
        throw shim_wrong{CHAT_SHIM_CHOICE};
    }
}

void shim_add_tools(const chat_shim *s, const chat_shim_ask *ask, common_chat_templates_inputs &in)
{
    if (!ask->tools.p)
        return;
    try {
        in.tools = common_chat_tools_parse_oaicompat(common_json::parse(shim_string(ask->tools)));
    } catch (const std::bad_alloc &) {
        throw;
    } catch (...) {
        throw shim_wrong{CHAT_SHIM_TOOLS};
    }
    in.parallel_tool_calls = ask->parallel;
    shim_add_choice(ask, in);
    if (in.tool_choice != COMMON_CHAT_TOOL_CHOICE_NONE && !s->knows_tools)
        throw shim_wrong{CHAT_SHIM_NO_TOOLS};
}

void shim_add_schema(const chat_shim_ask *ask, common_chat_templates_inputs &in)
{
    if (!ask->schema.p)
        return;
    in.json_schema = shim_string(ask->schema);
    try {
        (void)json_schema_to_grammar(common_json::parse(in.json_schema));
    } catch (const std::bad_alloc &) {
        throw;
    } catch (...) {
        throw shim_wrong{CHAT_SHIM_SCHEMA};
    }
}

void shim_add_kwargs(const chat_shim_ask *ask, common_chat_templates_inputs &in)
{
    in.now = std::chrono::system_clock::from_time_t(shim_date_s);
    in.chat_template_kwargs["date_string"] = "\"" CHAT_SHIM_DATE "\"";
    in.chat_template_kwargs["datetime"] = std::string("\"") + shim_date_us + "\"";
    if (ask->effort.p)
        in.chat_template_kwargs["reasoning_effort"] = shim_string(ask->effort);
    if (!ask->kwargs.p)
        return;
    try {
        auto kwargs = common_json::parse(shim_string(ask->kwargs));

        for (const auto &item : kwargs.items()) {
            in.chat_template_kwargs[item.key()] = item.value().dump();
            if (item.key() == "enable_thinking" && item.value().is_boolean())
                in.enable_thinking = item.value().dump() == "true";
        }
    } catch (const std::bad_alloc &) {
        throw;
    } catch (...) {
        throw shim_wrong{CHAT_SHIM_KWARGS};
    }
}

/* Whose fault it is that a template fails: the messages', if it fails without the rest too. */
chat_shim_wrong shim_blame(chat_shim *s, common_chat_templates_inputs in)
{
    bool tools = !in.tools.empty();

    if (!tools && in.json_schema.empty())
        return CHAT_SHIM_MESSAGES;
    in.tools.clear();
    in.json_schema.clear();
    try {
        (void)common_chat_templates_apply(s->templates.get(), in);
        return tools ? CHAT_SHIM_TOOLS : CHAT_SHIM_SCHEMA;
    } catch (const std::bad_alloc &) {
        throw;
    } catch (...) {
        return CHAT_SHIM_MESSAGES;
    }
}

void shim_sort_triggers(chat_form *f)
{
    for (const auto &t : f->params.grammar_triggers) {
        bool pattern = t.type == COMMON_GRAMMAR_TRIGGER_TYPE_PATTERN ||
                       t.type == COMMON_GRAMMAR_TRIGGER_TYPE_PATTERN_FULL;

        f->lists[pattern ? CHAT_FORM_PATTERNS : CHAT_FORM_WORDS].push_back(t.value);
    }
    f->lists[CHAT_FORM_STOPS] = f->params.additional_stops;
    f->lists[CHAT_FORM_KEPT] = f->params.preserved_tokens;
    if (!f->params.thinking_start_tag.empty())
        f->lists[CHAT_FORM_THINKS] = {f->params.thinking_start_tag};
    f->lists[CHAT_FORM_THOUGHT] = f->params.thinking_end_tags;
}

chat_form *shim_apply(chat_shim *s, const chat_shim_ask *ask)
{
    common_chat_templates_inputs in;
    auto form = std::unique_ptr<chat_form>(new chat_form());

    in.add_generation_prompt = true;
    in.use_jinja = true;
    in.reasoning_format = COMMON_REASONING_FORMAT_DEEPSEEK;
    shim_add_messages(ask, in);
    shim_add_tools(s, ask, in);
    shim_add_schema(ask, in);
    shim_add_kwargs(ask, in);
    try {
        form->params = common_chat_templates_apply(s->templates.get(), in);
    } catch (const std::bad_alloc &) {
        throw;
    } catch (...) {
        throw shim_blame(s, in);
    }
    shim_sort_triggers(form.get());
    return form.release();
}

} // namespace

extern "C" int chat_shim_apply(struct chat_shim *s, const struct chat_shim_ask *ask,
                               struct chat_form **ret_form)
{
    try {
        *ret_form = shim_apply(s, ask);
        return 0;
    } catch (const shim_wrong &wrong) {
        return wrong.which;
    } catch (const std::bad_alloc &) {
        return CHAT_SHIM_MEMORY;
    } catch (...) {
        return CHAT_SHIM_MESSAGES;
    }
}

extern "C" void chat_form_free(struct chat_form *f)
{
    if (f)
        shim_wipe(f->params.prompt);
    delete f;
}

extern "C" struct chat_shim_text chat_form_prompt(const struct chat_form *f)
{
    return {f->params.prompt.data(), f->params.prompt.size()};
}

extern "C" const char *chat_form_grammar(const struct chat_form *f)
{
    return f->params.grammar.c_str();
}

extern "C" bool chat_form_is_lazy(const struct chat_form *f)
{
    return f->params.grammar_lazy;
}

extern "C" struct chat_shim_text chat_form_begun(const struct chat_form *f)
{
    return {f->params.generation_prompt.data(), f->params.generation_prompt.size()};
}

extern "C" const char *chat_form_item(const struct chat_form *f, enum chat_form_list list, size_t i)
{
    return i < f->lists[list].size() ? f->lists[list][i].c_str() : nullptr;
}
