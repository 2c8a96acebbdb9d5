/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/fleet.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/list.h"
#include "provider/post.h"

enum {
    PATH_BYTES = 600,
    HEARTBEAT_MS = 5000,
    DRAIN_MS = 1000,
    CONTEXT_TOKENS = 100000,
    PROMPT_TOKENS = 200,
    SECURE_HEAP_BYTES = 8 << 20, /* a thousand private keys */
    SECURE_MIN_BYTES = 32,
    EVENTS_MAX = 4096 /* between two wake-ups of a member */
};

struct fleet_job {
    struct fleet_member *m;
    struct list_node link;
    uint64_t tag;
    struct loop_timer timer;
    int sent;
};

struct fleet_member {
    struct fleet *fleet;
    struct fleet_script script;
    struct machine machine;
    struct post *post;
    struct signer *signer;
    struct box_pair *pair;
    struct provider *provider;
    struct list_node jobs;
    struct engine_event *events;
    int n_events, next_event;
    int64_t running, dispatched;
    bool leaving, left;
};

struct fleet {
    struct loop *loop;
    struct log log;
    struct coordinator_url url;
    char dir[PATH_BYTES];
    struct fleet_member *members;
    int n;
};

/* --- the engine by script --- */

static void fleet_job_free(struct fleet_job *j)
{
    loop_timer_clear(j->m->fleet->loop, &j->timer);
    list_remove(&j->link);
    j->m->running--;
    free(j);
}

static void fleet_emit(struct fleet_member *m, struct engine_event e)
{
    if (m->n_events < EVENTS_MAX)
        m->events[m->n_events++] = e;
}

static void fleet_job_end(struct fleet_job *j, enum engine_event_kind kind, int code)
{
    fleet_emit(j->m, (struct engine_event){.kind = kind,
                                           .tag = j->tag,
                                           .code = code,
                                           .prompt_tokens = PROMPT_TOKENS,
                                           .completion_tokens = j->sent,
                                           .finish = CHUNK_FINISH_STOP});
    fleet_job_free(j);
}

static void fleet_job_goes_on(void *ud)
{
    struct fleet_job *j = ud;
    struct fleet_member *m = j->m;
    const struct fleet_script *s = &m->script;

    if (s->fails) {
        fleet_job_end(j, ENGINE_FAILED, ERR_MODEL);
        provider_on_engine(m->provider);
        return;
    }
    do {
        fleet_emit(m, (struct engine_event){
                          .kind = ENGINE_TEXT, .tag = j->tag, .text = STR(" token"), .tokens = 1});
        j->sent++;
    } while (s->pace_us == 0 && j->sent < s->chunks);
    if (j->sent >= s->chunks)
        fleet_job_end(j, ENGINE_DONE, 0);
    else
        loop_timer_set(m->fleet->loop, &j->timer, s->pace_us, fleet_job_goes_on, j);
    provider_on_engine(m->provider);
}

static void fleet_job_begins(void *ud)
{
    struct fleet_job *j = ud;
    struct fleet_member *m = j->m;

    fleet_emit(m, (struct engine_event){
                      .kind = ENGINE_ADMITTED, .tag = j->tag, .prompt_tokens = PROMPT_TOKENS});
    loop_timer_set(m->fleet->loop, &j->timer, m->script.first_us, fleet_job_goes_on, j);
    provider_on_engine(m->provider);
}

static int fleet_submit(void *ud, uint64_t tag, const struct chat_request *chat)
{
    struct fleet_member *m = ud;
    struct fleet_job *j;

    (void)chat;
    m->dispatched++;
    if (m->running >= m->script.slots)
        return ERR_BUSY;
    j = calloc(1, sizeof *j);
    if (!j)
        return ERR_NOMEM;
    j->m = m;
    j->tag = tag;
    list_push_back(&m->jobs, &j->link);
    m->running++;
    loop_timer_set(m->fleet->loop, &j->timer, 0, fleet_job_begins, j);
    return 0;
}

static void fleet_cancel(void *ud, uint64_t tag)
{
    struct fleet_member *m = ud;

    for (struct list_node *n = m->jobs.next; n != &m->jobs; n = n->next) {
        struct fleet_job *j = list_owner(n, struct fleet_job, link);

        if (j->tag == tag) {
            fleet_job_free(j);
            return;
        }
    }
}

static int fleet_poll(void *ud, struct engine_event *ret_event)
{
    struct fleet_member *m = ud;

    if (m->next_event == m->n_events) {
        m->next_event = m->n_events = 0;
        return 0;
    }
    *ret_event = m->events[m->next_event++];
    return 1;
}

static void fleet_load(void *ud, struct load *ret_load)
{
    const struct fleet_member *m = ud;

    *ret_load = (struct load){.running = m->running};
}

/* --- members --- */

static void fleet_describe(struct fleet_member *m)
{
    m->machine = (struct machine){
        .root = "",
        .hardware = {.machine_model = STR("bench"),
                     .chip_name = STR("bench"),
                     .chip_family = STR("Unknown"),
                     .chip_tier = STR("Unknown"),
                     .memory_gb = 64,
                     .memory_available_gb = 60,
                     .cpu_cores = {.total = 8}},
        .os_version = STR("Linux"),
        .binary_hash = STR("0000000000000000000000000000000000000000000000000000000000000000"),
        .backend = STR("inprocess-llama"),
        .version = STR("bench"),
        .public_key = str_from(box_pair_public_b64(m->pair)),
        .model = {.id = STR("bench-model"),
                  .size_bytes = 1000,
                  .model_type = STR("chat"),
                  .quantization = STR("Q4_0"),
                  .context_length = CONTEXT_TOKENS,
                  .numerics = STR("fast"),
                  .template_overhead_tokens = 10},
        .max_running = m->script.slots,
        .engine_in_process = true};
}

static int fleet_open_key(struct fleet_member *m, int i, struct err *ret_err)
{
    char path[PATH_BYTES + 32];
    struct signer_post post;
    int rc = post_new(m->fleet->loop, &m->post);

    if (rc < 0)
        return rc;
    post = post_for_signer(m->post);
    snprintf(path, sizeof path, "%s/key-%d.pem", m->fleet->dir, i);
    return signer_soft_open(path, &post, &m->signer, ret_err);
}

int fleet_start(struct fleet *f, int i, const struct fleet_script *script, struct err *ret_err)
{
    struct fleet_member *m = &f->members[i];
    struct provider_config config = {.loop = f->loop,
                                     .rand = rand_system(),
                                     .log = &f->log,
                                     .machine = &m->machine,
                                     .engine = {.submit = fleet_submit,
                                                .cancel = fleet_cancel,
                                                .poll = fleet_poll,
                                                .load = fleet_load,
                                                .ud = m},
                                     .url = f->url,
                                     .heartbeat_interval_ms = HEARTBEAT_MS,
                                     .drain_timeout_ms = DRAIN_MS,
                                     .max_jobs = (uint32_t)script->slots + 1};
    int rc;

    fleet_stop(f, i);
    m->script = *script;
    if (!m->signer) {
        rc = fleet_open_key(m, i, ret_err);
        if (rc < 0)
            return rc;
    }
    rc = box_pair_new(&m->pair);
    if (rc < 0)
        return rc;
    fleet_describe(m);
    config.signer = m->signer;
    config.pair = m->pair;
    rc = provider_new(&config, &m->provider);
    if (rc < 0)
        return rc;
    provider_start(m->provider);
    return 0;
}

void fleet_stop(struct fleet *f, int i)
{
    struct fleet_member *m = &f->members[i];

    if (!m->provider)
        return;
    signer_close(m->signer); /* it holds pointers into the provider */
    post_free(m->post);
    provider_free(m->provider);
    box_pair_free(m->pair);
    m->signer = NULL;
    m->post = NULL;
    m->provider = NULL;
    m->pair = NULL;
    while (!list_empty(&m->jobs))
        fleet_job_free(list_owner(m->jobs.next, struct fleet_job, link));
    m->n_events = m->next_event = 0;
    m->leaving = m->left = false;
}

static void fleet_left(void *ud)
{
    ((struct fleet_member *)ud)->left = true;
}

void fleet_leave(struct fleet *f, int i)
{
    struct fleet_member *m = &f->members[i];

    if (m->provider && !m->leaving)
        provider_stop(m->provider, fleet_left, m);
    m->leaving = true;
}

bool fleet_is_started(const struct fleet *f, int i)
{
    return f->members[i].provider && !f->members[i].left;
}

int64_t fleet_dispatched(const struct fleet *f, int i)
{
    return f->members[i].dispatched;
}

int64_t fleet_running(const struct fleet *f)
{
    int64_t n = 0;

    for (int i = 0; i < f->n; i++)
        n += f->members[i].running;
    return n;
}

/* --- life --- */

static int fleet_alloc(struct fleet *f, int members)
{
    f->members = calloc((size_t)members, sizeof *f->members);
    if (!f->members)
        return ERR_NOMEM;
    f->n = members;
    for (int i = 0; i < members; i++) {
        struct fleet_member *m = &f->members[i];

        m->fleet = f;
        list_init(&m->jobs);
        m->events = calloc(EVENTS_MAX, sizeof *m->events);
        if (!m->events)
            return ERR_NOMEM;
    }
    return 0;
}

int fleet_new(struct loop *l, uint16_t port, const char *dir, int members, struct fleet **ret_fleet,
              struct err *ret_err)
{
    struct fleet *f = calloc(1, sizeof *f);
    char url[64];
    int rc;

    if (!f)
        return ERR_NOMEM;
    if (!CRYPTO_secure_malloc_initialized())
        (void)CRYPTO_secure_malloc_init(SECURE_HEAP_BYTES, SECURE_MIN_BYTES);
    f->loop = l;
    f->log = (struct log){.fd = -1, .level = LOG_ERROR, .clock = loop_clock(l)};
    snprintf(f->dir, sizeof f->dir, "%s", dir);
    snprintf(url, sizeof url, "ws://127.0.0.1:%u/ws/provider", port);
    rc = coordinator_url_parse(str_from(url), &f->url, ret_err);
    if (rc == 0)
        rc = fleet_alloc(f, members);
    if (rc < 0) {
        fleet_free(f);
        return rc;
    }
    *ret_fleet = f;
    return 0;
}

void fleet_free(struct fleet *f)
{
    if (!f)
        return;
    for (int i = 0; i < f->n; i++) {
        fleet_stop(f, i);
        free(f->members[i].events);
    }
    free(f->members);
    free(f);
}
