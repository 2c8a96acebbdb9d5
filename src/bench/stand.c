/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/stand.h"

#include <stdio.h>

enum { READY_TRIES = 200, READY_WAIT_US = 50000, CHALLENGE_WAIT_US = 500000 };

int stand_load(struct stand *s, struct load_config config, struct load_result *ret_result)
{
    config.loop = s->loop;
    config.port = s->child.port;
    config.api_key = s->child.key;
    return load_run(&config, ret_result);
}

static void stand_stop_loop(void *ud)
{
    loop_stop(ud);
}

void stand_wait(struct stand *s, int64_t us)
{
    struct loop_timer timer = {0};

    loop_timer_set(s->loop, &timer, us, stand_stop_loop, s->loop);
    (void)loop_run(s->loop);
    loop_timer_clear(s->loop, &timer);
}

/* The provider is routable once its first challenge was answered: wait for that, then ask until an
 * answer is 200. */
static int stand_wait_until_routable(struct stand *s)
{
    stand_wait(s, CHALLENGE_WAIT_US);
    for (int i = 0; i < READY_TRIES; i++) {
        const struct load_config one = {.connections = 1, .requests = 1, .stream = true};
        struct load_result r = {0};
        bool ready = stand_load(s, one, &r) == 0 && r.n == 1;

        load_result_free(&r);
        if (ready)
            return 0;
        stand_wait(s, READY_WAIT_US);
    }
    return ERR_TIMEOUT;
}

int stand_new(const struct child_config *config, struct stand *ret_stand, struct err *ret_err)
{
    struct stand *s = ret_stand;
    int rc;

    *s = (struct stand){.script = {.chunks = 1}};
    rc = child_start(config, &s->child, ret_err);
    if (rc == 0)
        rc = loop_epoll_new(&s->loop, ret_err); /* timers to the microsecond */
    if (rc == 0)
        rc = null_provider_new(s->loop, s->child.port, &s->script, &s->provider);
    if (rc == 0)
        rc = stand_wait_until_routable(s);
    return rc;
}

void stand_free(struct stand *s)
{
    null_provider_free(s->provider);
    loop_free(s->loop);
    child_stop(&s->child);
}

void stand_pin(void)
{
    if (child_pin_self(STAND_LOAD_CORE) < 0)
        printf("\n(The load could not be pinned to core %d: figures are of an unpinned run.)\n",
               STAND_LOAD_CORE);
}
