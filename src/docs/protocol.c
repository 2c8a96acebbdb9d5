/* SPDX-License-Identifier: Apache-2.0 */
#include "docs/docs.h"
#include "proto/provider_msg.h"

enum { SHAPES_MAX = 64 };

static const struct {
    enum msg_type type;
    const char *from, *help;
} messages[] = {
#define SHAPE(name)
#define F(...)
#define O(...)
#define P(...)
#define A(...)
#define END
#define MESSAGE(type_, name, member, shape, from_, help_) {MSG_##type_, from_, help_},
#include "proto/provider_msg.def"
#undef MESSAGE
};

/* The objects that messages hold, in order of appearance. */
struct objects {
    const struct shape *shapes[SHAPES_MAX];
    size_t n;
};

static void protocol_note(struct objects *o, const struct shape *shape)
{
    for (size_t i = 0; i < o->n; i++) {
        if (o->shapes[i] == shape)
            return;
    }
    if (o->n < SHAPES_MAX)
        o->shapes[o->n++] = shape;
}

static const char *const type_words[] = {
    [SHAPE_STR] = "string",
    [SHAPE_I64] = "whole number",
    [SHAPE_F64] = "number",
    [SHAPE_BOOL] = "true or false",
    [SHAPE_TRI] = "true or false",
    [SHAPE_RAW] = "object, taken by its bytes",
    [SHAPE_STRS] = "array of strings",
    [SHAPE_MAP] = "object of strings",
    [SHAPE_OBJ] = "object",
    [SHAPE_OBJS] = "array of objects",
};

static const char *protocol_presence(const struct shape_field *f)
{
    return f->flags & SHAPE_REQUIRED     ? "required"
           : f->flags & SHAPE_OMIT_EMPTY ? "optional"
           : f->flags & SHAPE_NULL_EMPTY ? "null when there is none"
                                         : "always written; absent means empty or zero";
}

static void protocol_fields(struct page *p, const struct shape *shape, struct objects *o)
{
    page_add(p, "| field | type | presence |\n|---|---|---|\n");
    for (const struct shape_field *f = shape->fields; f->name; f++) {
        page_add(p, "| `%s` | %s", f->name, type_words[f->type]);
        if (f->sub) {
            page_add(p, ": [%s](#%s)", f->sub()->name, f->sub()->name);
            protocol_note(o, f->sub());
        }
        page_add(p, " | %s |\n", protocol_presence(f));
    }
    page_add(p, "\n");
}

void docs_protocol(struct page *p)
{
    struct objects o = {0};

    page_add(p,
             "# Wire messages, version 1\n\n"
             "JSON text frames over one WebSocket, one message a frame, the member `type` first. "
             "Rules: docs/internals/wire-format.md.\n\n");
    for (size_t i = 0; i < sizeof messages / sizeof messages[0]; i++) {
        page_add(p, "## `%s`\n\nFrom the %s: %s.\n\n", msg_type_name(messages[i].type),
                 messages[i].from, messages[i].help);
        protocol_fields(p, msg_shape(messages[i].type), &o);
    }
    page_add(p, "# Objects\n\n");
    for (size_t i = 0; i < o.n; i++) { /* grows meanwhile */
        page_add(p, "## %s\n\n", o.shapes[i]->name);
        protocol_fields(p, o.shapes[i], &o);
    }
}
