/* SPDX-License-Identifier: Apache-2.0 */
#include "provider/engine/engine.h"

#include <stdlib.h>

#include "provider/engine/invariance.h"

enum { DEFAULT_CHUNK_TOKENS = 512 };

struct engine {
    struct gguf *model;
    struct scheduler *scheduler;
    bool invariant;
    int32_t overhead;
};

/* Prompts of one short message, less the message itself: what the template brings along. */
static int32_t engine_measure_overhead(struct gguf *m)
{
    const struct form_ask ask = {.messages = STR("[{\"role\":\"user\",\"content\":\"x\"}]")};
    enum engine_wrong wrong;
    struct form form = {0};
    struct buf prompt;
    int32_t n = 0;

    buf_init(&prompt, 1U << 20);
    if (gguf_ops.render(m, &ask, &prompt, &form, &wrong) == 0)
        n = gguf_ops.tokenize(m, buf_view(&prompt), NULL, 0, NULL);
    form_free(&form);
    buf_free(&prompt);
    return n > 1 ? n - 1 : 0;
}

static int engine_start(struct engine *e, const struct engine_config *config, struct err *ret_err)
{
    struct scheduler_config sc = {.ops = &gguf_ops,
                                  .model = e->model,
                                  .chunk_tokens = config->model.chunk_tokens,
                                  .max_waiting = config->max_waiting,
                                  .seed = config->seed,
                                  .clock = clock_system(),
                                  .wake = config->wake,
                                  .wake_ud = config->wake_ud};
    int proved = config->model.invariant ? invariance_check(&gguf_ops, e->model) : 0;

    if (proved < 0)
        return err_set(ret_err, proved, "the model fails at its first forward pass");
    e->invariant = proved;
    e->overhead = engine_measure_overhead(e->model);
    return scheduler_start(&sc, &e->scheduler, ret_err);
}

int engine_open(const struct engine_config *config, struct engine **ret_engine, struct err *ret_err)
{
    struct engine_config c = *config;
    struct engine *e = calloc(1, sizeof *e);
    int rc;

    if (!e)
        return err_set(ret_err, ERR_NOMEM, "out of memory for the engine");
    if (c.model.chunk_tokens <= 0)
        c.model.chunk_tokens = DEFAULT_CHUNK_TOKENS;
    if (!c.model.backends)
        c.model.backends = DARKBLOOM_LLAMA_LIB_DIR;
    rc = gguf_open(&c.model, &e->model, ret_err);
    if (rc == 0)
        rc = engine_start(e, &c, ret_err);
    if (rc < 0) {
        engine_close(e);
        return rc;
    }
    *ret_engine = e;
    return 0;
}

void engine_close(struct engine *e)
{
    if (!e)
        return;
    scheduler_stop(e->scheduler);
    gguf_close(e->model);
    free(e);
}

static int engine_submit(void *ud, uint64_t tag, const struct chat_request *chat)
{
    return scheduler_submit(((struct engine *)ud)->scheduler, tag, chat);
}

static void engine_cancel(void *ud, uint64_t tag)
{
    scheduler_cancel(((struct engine *)ud)->scheduler, tag);
}

static int engine_poll_event(void *ud, struct engine_event *ret_event)
{
    return scheduler_poll(((struct engine *)ud)->scheduler, ret_event);
}

static void engine_load(void *ud, struct load *ret_load)
{
    scheduler_load(((struct engine *)ud)->scheduler, ret_load);
}

struct engine_port engine_port(struct engine *e)
{
    return (struct engine_port){.submit = engine_submit,
                                .cancel = engine_cancel,
                                .poll = engine_poll_event,
                                .load = engine_load,
                                .ud = e};
}

struct model_limits engine_limits(const struct engine *e)
{
    return gguf_ops.limits(e->model);
}

struct gguf_info engine_info(const struct engine *e)
{
    return gguf_info(e->model);
}

bool engine_invariant(const struct engine *e)
{
    return e->invariant;
}

int32_t engine_template_overhead(const struct engine *e)
{
    return e->overhead;
}
