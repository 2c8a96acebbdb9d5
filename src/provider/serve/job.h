/* SPDX-License-Identifier: Apache-2.0 */
/* A request at the provider, and the bounded table of them. A job is known to the engine by its tag
 * (place and generation), never by a pointer: what arrives for a job that has ended finds nobody.
 */
#ifndef DARKBLOOM_PROVIDER_SERVE_JOB_H
#define DARKBLOOM_PROVIDER_SERVE_JOB_H

#include "base/map.h"
#include "proto/chunk.h"
#include "provider/serve/parts.h"
#include "seal/box.h"

enum {
    JOB_ID_MAX_BYTES = 128, /* of a request id; a longer one is refused */
    JOB_CHAT_ID_BYTES = 40, /* "chatcmpl-" and 24 hex digits */
    JOB_HASH_BYTES = 65,    /* hex SHA-256 */
};

enum job_state {
    JOB_FREE,
    JOB_RUNNING, /* the engine has it */
    JOB_SIGNING, /* the answer is out; its hash is at the signer, which holds a pointer */
};

struct serve;

struct job {
    enum job_state state;
    struct serve *serve;
    uint32_t place, generation;
    char request_id[JOB_ID_MAX_BYTES + 1];
    struct box_session *session; /* NULL once nothing is sealed any more */
    bool stream, include_usage;
    char chat_id[JOB_CHAT_ID_BYTES];
    struct chunk_head head;
    struct parts answer; /* so far */
    int64_t prompt_tokens, completion_tokens, sent_tokens;
    enum chunk_finish finish;
    bool role_sent;
    bool dropped; /* JOB_SIGNING: the connection is gone, send nothing */
    int64_t taken_us;
    char hash[JOB_HASH_BYTES];
};

struct jobs {
    struct job *items;
    uint32_t n;      /* places */
    uint32_t in_use; /* not JOB_FREE */
    struct map by_id;
};

/* `n` places. 0 or ERR_NOMEM. */
int jobs_init(struct jobs *js, uint32_t n, struct serve *serve);
void jobs_free(struct jobs *js);

/* Take a free place under `request_id`. 0, ERR_BUSY (all taken), ERR_EXISTS (a job of that id is
 * running), ERR_LIMIT (the id is too long), ERR_PARSE (it is empty or holds what JSON escapes) or
 * ERR_NOMEM. */
int jobs_take(struct jobs *js, struct str request_id, struct job **ret_job);

/* The job of that id, or NULL. */
struct job *jobs_find(const struct jobs *js, struct str request_id);

/* End it: everything that held text is wiped, the place is free, its tag is void. */
void jobs_release(struct jobs *js, struct job *j);

/* {generation, place} as one number, for the engine to carry. */
uint64_t job_tag(const struct job *j);
/* The running job of that tag, or NULL. */
struct job *jobs_of_tag(const struct jobs *js, uint64_t tag);

static inline struct str job_id(const struct job *j)
{
    return str_from(j->request_id);
}

#endif
