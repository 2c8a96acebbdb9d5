/* SPDX-License-Identifier: Apache-2.0 */
#define TOML_HEADER_ONLY 1
#include <toml++/toml.h>

#include "base/toml.h"

namespace
{

struct walk {
    int (*on_value)(void *ud, const struct toml_value *value);
    void *ud;
};

struct str view(const std::string &s)
{
    return {s.data(), s.size()};
}

int line_of(const toml::node &n)
{
    return static_cast<int>(n.source().begin.line);
}

int visit(const walk &w, const std::string &path, const toml::node &n);

int visit_table(const walk &w, const std::string &path, const toml::table &t)
{
    for (const auto &entry : t) {
        std::string key(path);
        int rc;

        if (!key.empty())
            key += '.';
        key += entry.first.str();
        rc = visit(w, key, entry.second);

        if (rc != 0)
            return rc;
    }
    return 0;
}

int report(const walk &w, const std::string &path, toml_type type, const toml::node &n,
           bool first = false)
{
    struct toml_value v = {};

    v.path = view(path);
    v.type = type;
    v.first = first;
    v.line = line_of(n);
    if (auto s = n.as_string())
        v.s = view(s->get());
    if (auto i = n.as_integer())
        v.i = i->get();
    if (auto f = n.as_floating_point())
        v.f = f->get();
    if (auto b = n.as_boolean())
        v.b = b->get();
    return w.on_value(w.ud, &v);
}

int visit_array(const walk &w, const std::string &path, const toml::array &a)
{
    size_t index = 0;

    if (a.empty())
        return report(w, path, TOML_EMPTY, a);
    for (const auto &item : a) {
        int rc;

        if (auto table = item.as_table())
            rc = visit_table(w, path + "[" + std::to_string(index++) + "]", *table);
        else
            rc = report(w, path, item.is_string() ? TOML_ITEM : TOML_OTHER, item, &item == &a[0]);
        if (rc != 0)
            return rc;
    }
    return 0;
}

int visit(const walk &w, const std::string &path, const toml::node &n)
{
    if (auto table = n.as_table())
        return visit_table(w, path, *table);
    if (auto array = n.as_array())
        return visit_array(w, path, *array);
    return report(w, path,
                  n.is_string()           ? TOML_STR
                  : n.is_integer()        ? TOML_INT
                  : n.is_floating_point() ? TOML_FLOAT
                  : n.is_boolean()        ? TOML_BOOL
                                          : TOML_OTHER,
                  n);
}

} // namespace

extern "C" int toml_walk(struct str text, int (*on_value)(void *ud, const struct toml_value *value),
                         void *ud, struct err *ret_err)
{
    try {
        toml::table doc = toml::parse(std::string_view(text.p ? text.p : "", text.n));

        return visit_table({on_value, ud}, "", doc);
    } catch (const toml::parse_error &e) {
        auto at = e.source().begin;

        return err_set(ret_err, ERR_PARSE, "line %u, column %u: %.180s",
                       static_cast<unsigned>(at.line), static_cast<unsigned>(at.column), e.what());
    } catch (const std::exception &) {
        return err_set(ret_err, ERR_NOMEM, "out of memory while reading the settings");
    }
}
