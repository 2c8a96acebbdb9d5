/* SPDX-License-Identifier: Apache-2.0 */
/* The table of jobs. */
#include "provider/serve/job.h"

#include <stdlib.h>

int jobs_init(struct jobs *js, uint32_t n, struct serve *serve)
{
    *js = (struct jobs){.items = calloc(n, sizeof(struct job)), .n = n};
    if (!js->items)
        return ERR_NOMEM;
    map_init(&js->by_id);
    for (uint32_t i = 0; i < n; i++) {
        struct job *j = &js->items[i];

        j->serve = serve;
        j->place = i;
        parts_init(&j->answer);
    }
    return 0;
}

void jobs_free(struct jobs *js)
{
    for (uint32_t i = 0; i < js->n; i++) {
        if (js->items[i].state != JOB_FREE)
            jobs_release(js, &js->items[i]);
    }
    map_free(&js->by_id);
    free(js->items);
    *js = (struct jobs){0};
}

static struct job *job_free_place(const struct jobs *js)
{
    for (uint32_t i = 0; i < js->n; i++) {
        if (js->items[i].state == JOB_FREE)
            return &js->items[i];
    }
    return NULL;
}

/* A chunk carries the id as it stands (msg_chunk_write). */
static bool job_needs_escaping(struct str id)
{
    for (size_t i = 0; i < id.n; i++) {
        if ((unsigned char)id.p[i] < 0x20 || id.p[i] == '"' || id.p[i] == '\\')
            return true;
    }
    return false;
}

int jobs_take(struct jobs *js, struct str request_id, struct job **ret_job)
{
    int rc;
    struct job *j;

    if (request_id.n > JOB_ID_MAX_BYTES)
        return ERR_LIMIT;
    if (!request_id.n || job_needs_escaping(request_id))
        return ERR_PARSE;
    if (map_get(&js->by_id, request_id))
        return ERR_EXISTS;
    j = job_free_place(js);
    if (!j)
        return ERR_BUSY;
    memcpy(j->request_id, request_id.p, request_id.n);
    j->request_id[request_id.n] = '\0';
    rc = map_put(&js->by_id, job_id(j), j);
    if (rc < 0)
        return rc;
    j->state = JOB_RUNNING;
    js->in_use++;
    *ret_job = j;
    return 0;
}

struct job *jobs_find(const struct jobs *js, struct str request_id)
{
    return request_id.n ? map_get(&js->by_id, request_id) : NULL;
}

void jobs_release(struct jobs *js, struct job *j)
{
    (void)map_remove(&js->by_id, job_id(j));
    box_session_close(j->session);
    parts_free(&j->answer);
    *j = (struct job){
        .serve = j->serve, .place = j->place, .generation = j->generation + 1, .answer = j->answer};
    js->in_use--;
}

uint64_t job_tag(const struct job *j)
{
    return (uint64_t)j->generation << 32 | j->place;
}

struct job *jobs_of_tag(const struct jobs *js, uint64_t tag)
{
    uint32_t place = (uint32_t)tag;
    struct job *j;

    if (place >= js->n)
        return NULL;
    j = &js->items[place];
    return j->state == JOB_RUNNING && job_tag(j) == tag ? j : NULL;
}
