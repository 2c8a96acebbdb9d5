/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/provider_msg.h"

#include "proto/sealed_msg.h"

/* --- shapes --- */

/* Each SHAPE … END block of provider_msg.def becomes a function that returns its table. Inside it
 * the type `self` names the struct, which the preprocessor cannot carry from SHAPE() to the rows.
 */
#define SHAPE(name)                                  \
    static const struct shape *shape_of_##name(void) \
    {                                                \
        typedef struct msg_##name self;              \
        static const char shape_name[] = #name;      \
        static const struct shape_field fields[] = {
#define SUB(member, shape_, flags_, type_, other_) \
    {.name = #member,                              \
     .type = type_,                                \
     .flags = (flags_),                            \
     .offset = offsetof(self, member),             \
     .other_offset = (other_),                     \
     .sub = shape_of_##shape_},
#define F(type_, member, flags_)       \
    {.name = #member,                  \
     .type = SHAPE_##type_,            \
     .flags = (flags_),                \
     .offset = offsetof(self, member), \
     .other_offset = SIZE_MAX},
#define O(member, shape_, flags_) SUB(member, shape_, flags_, SHAPE_OBJ, SIZE_MAX)
#define P(member, shape_, flags_) \
    SUB(member, shape_, flags_, SHAPE_OBJ, offsetof(self, has_##member))
#define A(member, shape_, flags_) \
    SUB(member, shape_, flags_, SHAPE_OBJS, offsetof(self, n_##member))
#define END                                                           \
    {                                                                 \
        .name = NULL                                                  \
    }                                                                 \
    }                                                                 \
    ;                                                                 \
    static const struct shape s = {shape_name, fields, sizeof(self)}; \
    return &s;                                                        \
    }
#define MESSAGE(...)
#include "proto/provider_msg.def"
#undef MESSAGE
#undef SHAPE
#undef SUB
#undef F
#undef O
#undef P
#undef A
#undef END

/* --- messages --- */

#define SHAPE(name)
#define F(...)
#define O(...)
#define P(...)
#define A(...)
#define END
static const struct {
    const char *name;
    const struct shape *(*shape)(void);
    size_t offset; /* of the union member */
} messages[MSG_COUNT] = {
#define MESSAGE(type, name, member, shape_, from, help) \
    [MSG_##type] = {name, shape_of_##shape_, offsetof(struct provider_msg, member)},
#include "proto/provider_msg.def"
#undef MESSAGE
};

const char *msg_type_name(enum msg_type type)
{
    return messages[type].name;
}

const struct shape *msg_shape(enum msg_type type)
{
    return messages[type].shape();
}

static enum msg_type provider_msg_type_of(struct str name)
{
    for (int i = MSG_UNKNOWN + 1; i < MSG_COUNT; i++) {
        if (str_is(name, messages[i].name))
            return (enum msg_type)i;
    }
    return MSG_UNKNOWN;
}

int provider_msg_decode(struct proto_scratch *scratch, struct str frame,
                        struct provider_msg *ret_msg, struct err *ret_err)
{
    struct provider_msg m = {.type = MSG_UNKNOWN};
    int rc;

    if (msg_chunk_read(frame, &m.chunk)) {
        m.type = MSG_INFERENCE_RESPONSE_CHUNK;
        m.type_name = str_from(messages[m.type].name);
        *ret_msg = m;
        return 0;
    }
    rc = shape_open(scratch, frame, ret_err);
    if (rc < 0)
        return rc;
    rc = shape_open_str(scratch, "type", &m.type_name, ret_err);
    if (rc < 0)
        return rc;
    m.type = provider_msg_type_of(m.type_name);
    if (m.type != MSG_UNKNOWN)
        rc = shape_decode_open(scratch, messages[m.type].shape(), frame,
                               (char *)&m + messages[m.type].offset, ret_err);
    if (rc == 0)
        *ret_msg = m;
    return rc;
}

int provider_msg_encode(const struct provider_msg *msg, struct buf *out)
{
    size_t before = out->len;
    int rc = buf_printf(out, "{\"type\":\"%s\"", messages[msg->type].name);

    if (rc == 0)
        rc = shape_encode_members(messages[msg->type].shape(),
                                  (const char *)msg + messages[msg->type].offset, false, out);
    if (rc == 0)
        rc = buf_append_str(out, STR("}"));
    if (rc < 0)
        out->len = before;
    return rc;
}
