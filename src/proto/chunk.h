/* SPDX-License-Identifier: Apache-2.0 */
/* Chunks of a completion: what the provider writes, what the relay must know about each, and the
 * reassembly of a stream into one object for consumers that do not stream. A chunk is one SSE line,
 * "data: {json}", without newline. */
#ifndef DARKBLOOM_PROTO_CHUNK_H
#define DARKBLOOM_PROTO_CHUNK_H

#include "base/arena.h"
#include "base/budget.h"
#include "base/buf.h"
#include "base/err.h"

/* --- writing --- */

struct chunk_head {
    struct str id;    /* "chatcmpl-…" */
    struct str model; /* as the consumer named it */
    int64_t created_s;
};

enum chunk_finish {
    CHUNK_FINISH_NONE,
    CHUNK_FINISH_STOP,
    CHUNK_FINISH_LENGTH,
    CHUNK_FINISH_TOOL_CALLS
};

/* What a chunk adds to its answer. */
enum chunk_part {
    CHUNK_PART_CONTENT,
    CHUNK_PART_REASONING, /* member reasoning_content */
    CHUNK_PART_CALL,      /* tool call `call` begins: `id`, and `text` is its function's name */
    CHUNK_PART_ARGUMENTS, /* `text` is the next piece of that call's arguments */
};

struct chunk_delta {
    enum chunk_part part;
    struct str text;
    int32_t call;
    struct str id;
    struct str logprobs; /* entries of logprobs.content as JSON, without brackets; .n 0: none */
};

struct chunk_call {
    struct str id, name, arguments;
};

/* A whole answer. */
struct chunk_message {
    struct str content;
    struct str reasoning; /* .n 0: none */
    const struct chunk_call *calls;
    size_t n_calls;
    struct str logprobs; /* as in chunk_delta */
};

/* Each appends one line (no newline). 0, ERR_LIMIT, ERR_NOMEM. */
int chunk_write_delta(const struct chunk_head *h, const struct chunk_delta *d, struct buf *out);
int chunk_write_role(const struct chunk_head *h, struct buf *out);
int chunk_write_content(const struct chunk_head *h, struct str text, struct buf *out);
int chunk_write_finish(const struct chunk_head *h, enum chunk_finish finish, struct buf *out);
/* The same with the logprobs (as in chunk_delta) of tokens that left no text. */
int chunk_write_finish_logprobs(const struct chunk_head *h, enum chunk_finish finish,
                                struct str logprobs, struct buf *out);
int chunk_write_usage(const struct chunk_head *h, int64_t prompt_tokens, int64_t completion_tokens,
                      struct buf *out); /* choices [] */
/* As usage, with members of the caller's, e.g. "\"receipt\":{…}". */
int chunk_write_extra(const struct chunk_head *h, struct str members, struct buf *out);
/* The whole answer of a request that is not streamed ("data: {…chat.completion…}"). */
int chunk_write_whole(const struct chunk_head *h, const struct chunk_message *m,
                      enum chunk_finish finish, int64_t prompt_tokens, int64_t completion_tokens,
                      struct buf *out);

/* --- reading (coordinator's relay) --- */

enum chunk_kind {
    CHUNK_CONTENT, /* relay */
    CHUNK_DONE,    /* "[DONE]": keep back, the relay writes its own */
    CHUNK_USAGE,   /* choices empty and usage present: keep back */
    CHUNK_EMPTY,   /* nothing in it, or no event at all (a comment, a blank line): keep back */
    CHUNK_WHOLE,   /* object chat.completion: the whole answer in one chunk */
    CHUNK_ERROR,   /* an object with a member error: the answer failed */
    CHUNK_BAD,     /* not one data line with one JSON object, or one in which a member that matters
                      stands twice: nothing of it may reach a consumer */
};

struct chunk_info {
    enum chunk_kind kind;
    bool has_role;   /* the delta (a whole answer's message) carries role */
    bool has_text;   /* it carries text or tool calls */
    bool has_finish; /* a finish_reason that is not null; always of a CHUNK_WHOLE */
    bool has_usage;
    bool needs_rewrite; /* null usage, null content, reasoning_content, a line break, a member of a
                           receipt, a CHUNK_WHOLE …: see chunk_normalise */
    struct str json;    /* the object, without "data: " */
    struct str finish;  /* as it stands in JSON, quotes included; borrowed */
    struct str content; /* between its quotes, where it is all the text there is; .p NULL: else */
    size_t text_bytes;  /* what an SDK shows of the first choice: content, reasoning, refusal, names
                           and arguments of tool calls, in UTF-8 */
    int64_t prompt_tokens, completion_tokens; /* when has_usage */
    struct chunk_head head; /* id, model, created as they stand; borrowed, still escaped */
};

/* What the coordinator says of an answer, at the top level of its own last chunk. A provider's
 * chunk that has such a member is rewritten without it, or it could forge a receipt. */
#define CHUNK_RECEIPT_MEMBERS STR("receipt"), STR("se_signature"), STR("response_hash")

enum { CHUNK_SHAPE_BYTES = 480 };

/* Look at one decrypted chunk. Nothing is allocated. */
void chunk_inspect(struct str line, struct chunk_info *ret_info);

/* What stays the same from chunk to chunk of a stream: all but the text of delta.content. A chunk
 * that fits what the last full look saw is known without another. Zero it to start. */
struct chunk_shape {
    struct chunk_info info;            /* of the chunk learned from without the text between prefix
                                          and suffix; its spans are not used */
    size_t prefix_bytes, suffix_bytes; /* around the text; 0: nothing learned */
    size_t json_at, json_tail;         /* of the line: before the object, and behind it */
    size_t id_at, model_at;            /* in the prefix */
    char fixed[CHUNK_SHAPE_BYTES];     /* prefix, then suffix */
};

/* As chunk_inspect, with the memory of the stream it belongs to. */
void chunk_inspect_next(struct chunk_shape *s, struct str line, struct chunk_info *ret_info);

/* Append the object as consumers expect it, in the existing system's form (null usage and
 * system_fingerprint dropped, null delta texts become "", tool_calls null becomes [],
 * reasoning_content becomes reasoning, finish_reason null stays), without members of a receipt;
 * with `add_role` a delta gets "role":"assistant" when it has none or a null one; with `drop_usage`
 * a usage member is removed; a whole answer becomes a chunk: each message a delta, its tool calls
 * numbered. The result has no "data: " and no newline. Uses `region`
 * for the parse. 0, ERR_PARSE, or ERR_LIMIT: the region or `out` has no room. */
int chunk_normalise(struct str json, bool add_role, bool drop_usage, struct arena *region,
                    struct buf *out);

/* --- reassembly (not streamed) --- */

/* No token stands for more bytes of text: the longest of today's vocabularies are runs of 128
 * spaces. */
enum { CHUNK_TOKEN_MAX_BYTES = 256 };

struct chunk_join; /* collects deltas; lives in the region */

/* What an answer of that many tokens can need, at most 16 MiB (L4). */
size_t chunk_join_bytes(int64_t tokens);
/* All text together takes at most `max_bytes`, and is charged to `budget` (NULL: none). 0 or
 * ERR_NOMEM. */
int chunk_join_new(struct arena *region, size_t max_bytes, struct budget *budget,
                   struct chunk_join **ret_join);
/* Add one relayed chunk (CHUNK_CONTENT or CHUNK_WHOLE). 0, ERR_PARSE, ERR_NOMEM (also: `budget` has
 * no room), or ERR_LIMIT: more text than `max_bytes`, a 65th tool call, a name over 256 bytes.
 * Chunks of up to about 600 bytes need no heap but for the text. */
int chunk_join_add(struct chunk_join *j, struct str json);
/* Append {"id","object":"chat.completion","created","model","choices","usage"} and then, before the
 * closing brace, the members in `extra` (e.g. "\"receipt\":{…}", .n 0: none). think blocks move to
 * reasoning (the text changes: once), the model is that of `head`, and so are id and time where no
 * chunk gave them (the existing system's form). */
int chunk_join_write(struct chunk_join *j, const struct chunk_head *head, int64_t prompt_tokens,
                     int64_t completion_tokens, struct str extra, struct buf *out);
void chunk_join_free(struct chunk_join *j); /* wipes what it holds outside the region */

#endif
