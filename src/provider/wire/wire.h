/* SPDX-License-Identifier: Apache-2.0 */
/* What the daemon and the engine process say to each other over their socketpair: frames of a u32
 * length, a u8 type and a payload, all little-endian. What a payload holds is a table in wire.c:
 * whole numbers take eight bytes, texts a u32 length and their bytes. Each end treats the other as
 * hostile: lengths, ranges, directions and UTF-8 are checked before anything is believed, and
 * nothing is allocated. Both programs are of one version, and each says so first.
 *
 * A request crosses as the JSON body that the consumer sent; the engine parses it again with
 * proto/chat.h, so that a new field of a request needs no change here. */
#ifndef DARKBLOOM_PROVIDER_WIRE_WIRE_H
#define DARKBLOOM_PROVIDER_WIRE_WIRE_H

#include "base/buf.h"
#include "base/err.h"
#include "provider/engine/engine_port.h"

enum {
    WIRE_HEAD_BYTES = 5,
    WIRE_BODY_MAX_BYTES = 10 << 20, /* of a request: the link takes no larger frame */
    WIRE_TEXT_MAX_BYTES = 64 << 10, /* of an event */
    WIRE_NAME_MAX_BYTES = 256,
    WIRE_PATH_MAX_BYTES = 4096
};

/* X(NAME, union member, struct, who says it) */
#define WIRE_MESSAGES(X)                                  \
    X(OPEN, open, struct wire_open, WIRE_DAEMON)          \
    X(SUBMIT, submit, struct wire_submit, WIRE_DAEMON)    \
    X(CANCEL, cancel, struct wire_cancel, WIRE_DAEMON)    \
    X(READY, ready, struct wire_ready, WIRE_ENGINE)       \
    X(REFUSED, refused, struct wire_refused, WIRE_ENGINE) \
    X(EVENT, event, struct engine_event, WIRE_ENGINE)     \
    X(LOAD, load, struct load, WIRE_ENGINE)               \
    X(LAST_WORDS, last_words, struct wire_last_words, WIRE_ENGINE)

enum wire_end { WIRE_DAEMON, WIRE_ENGINE };

enum wire_type {
#define WIRE_ENUM(name, member, type, end) WIRE_##name,
    WIRE_MESSAGES(WIRE_ENUM)
#undef WIRE_ENUM
        WIRE_TYPES
};

/* The daemon's first frame: what to load, and how. */
struct wire_open {
    struct str version; /* DARKBLOOM_VERSION */
    struct str model_path;
    int32_t slots, context_tokens, threads; /* llama_model.h */
    bool invariant;
    int64_t max_waiting;
    uint64_t seed;
    int64_t memory_growth_bytes; /* what it may take beyond the loaded model */
};

struct wire_submit {
    uint64_t tag;
    struct str body;
};

struct wire_cancel {
    uint64_t tag;
};

/* The model is loaded, and the sandbox is closed. */
struct wire_ready {
    struct str version;
    int32_t context_tokens, max_seqs;
    bool invariant; /* proved */
    int32_t template_overhead;
    int64_t size_bytes;
    struct str quantization, weight_hash;
    /* What holds in that process, each tried or read back from the kernel. */
    bool no_new_files;    /* opening a file fails */
    bool no_network;      /* making a socket fails */
    bool filtered;        /* a seccomp filter is in force */
    bool not_dumpable;    /* no core dump, no debugger of the same user */
    int32_t landlock_abi; /* 0: this kernel has none */
};

/* It cannot serve: a sentence for the machine's owner. The engine ends by itself. */
struct wire_refused {
    int32_t code; /* ERR_ code */
    struct str text;
};

/* It is about to end: where, in words of the program and never of a prompt. */
struct wire_last_words {
    struct str text;
};

struct wire_msg {
    enum wire_type type;
    union {
#define WIRE_UNION(name, member, type, end) type member;
        WIRE_MESSAGES(WIRE_UNION)
#undef WIRE_UNION
    };
};

/* Append a frame. 0; ERR_RANGE: a field is outside of the table's bounds; ERR_LIMIT, ERR_NOMEM: the
 * buffer's. On failure nothing is appended. */
int wire_append(struct buf *out, const struct wire_msg *m);

/* The first frame of `in`, which `from` has sent. 1: *ret_msg, whose texts point into `in`, and
 * *ret_bytes are its length; 0: it is not whole yet; ERR_PROTOCOL: no such frame may come. */
int wire_next(struct str in, enum wire_end from, struct wire_msg *ret_msg, size_t *ret_bytes);

#endif
