/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/peers_run.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    BODY_MAX_BYTES = 1 << 20,
    PATIENCE_US = 600000000,
    RUNNING_PIECES = 8, /* of an answer before something happens beside it */
};

int peers_body(const struct peers_prompts *prompts, const struct peers_ask *ask, struct buf *out)
{
    bool bias = ask->endless && prompts->may_bias;
    int rc = buf_printf(out,
                        "{\"model\":\"peer\",\"stream\":true,\"stream_options\":{\"include_usage\":"
                        "true},\"temperature\":0,\"max_tokens\":%lld,%s%.*s%s\"messages\":[{"
                        "\"role\":\"user\",\"content\":\"Repeat these words again and again, a "
                        "hundred times, without an end:",
                        (long long)ask->max_tokens, bias ? "\"logit_bias\":" : "",
                        bias ? (int)words_no_end(prompts->words).n : 0,
                        words_no_end(prompts->words).p, bias ? "," : "");

    if (rc == 0)
        rc = words_append(prompts->words, ask->seed, ask->tokens - prompts->overhead_tokens, out);
    if (rc == 0)
        rc = words_append(prompts->words, ask->tail_seed, ask->tail_tokens, out);
    return rc == 0 ? buf_append_str(out, STR("\"}]}")) : rc;
}

/* --- running --- */

static void peers_run_on_news(void *ud, struct stream *s)
{
    struct peers_run *run = ud;

    (void)s;
    if (run->enough(run))
        loop_stop(run->peers->loop);
}

static void peers_run_give_up(void *ud)
{
    struct peers_run *run = ud;

    run->late = true;
    loop_stop(run->peers->loop);
}

int peers_run_ask(struct peers_run *run, const struct peers_ask *ask)
{
    struct stream_config config = {.loop = run->peers->loop,
                                   .port = peers_port(run->peers, run->side),
                                   .api_key = ask->other_key && run->side == PEERS_PRODUCT
                                                  ? run->peers->other_key
                                                  : peers_key(run->peers, run->side),
                                   .on_piece = peers_run_on_news,
                                   .on_end = peers_run_on_news,
                                   .ud = run};
    struct buf body;
    int rc;

    buf_init(&body, BODY_MAX_BYTES);
    rc = run->n > PEERS_STREAMS_MAX ? ERR_RANGE : peers_body(run->prompts, ask, &body);
    config.body = buf_view(&body);
    if (rc == 0)
        rc = stream_new(&config, &run->at[run->n]);
    run->n += rc == 0;
    buf_free(&body);
    return rc;
}

int peers_run_until(struct peers_run *run, bool (*enough)(struct peers_run *run))
{
    struct loop *loop = run->peers->loop;

    run->enough = enough;
    if (enough(run))
        return 0;
    loop_timer_set(loop, &run->patience, PATIENCE_US, peers_run_give_up, run);
    (void)loop_run(loop);
    loop_timer_clear(loop, &run->patience);
    return run->late ? ERR_TIMEOUT : 0;
}

void peers_run_end(struct peers_run *run)
{
    for (int i = 0; i < run->n; i++)
        stream_free(run->at[i]);
    run->n = 0;
}

/* --- what was seen --- */

const struct stream_seen *peers_run_seen(const struct peers_run *run, int i)
{
    return stream_seen(run->at[i]);
}

/* Of streams that have not ended, all have so many pieces. */
static bool peers_run_all_have(const struct peers_run *run, size_t pieces)
{
    for (int i = 0; i < run->n; i++) {
        const struct stream_seen *seen = peers_run_seen(run, i);

        if (!seen->ended && seen->pieces < pieces)
            return false;
    }
    return true;
}

bool peers_run_all_ended(struct peers_run *run)
{
    return peers_run_all_have(run, SIZE_MAX);
}

bool peers_run_all_run(struct peers_run *run)
{
    return peers_run_all_have(run, RUNNING_PIECES);
}

static bool peers_run_began(const struct peers_run *run, int i)
{
    const struct stream_seen *seen = peers_run_seen(run, i);

    return seen->ended || seen->pieces > 0;
}

bool peers_run_first_began(struct peers_run *run)
{
    return peers_run_began(run, 0);
}

bool peers_run_last_began(struct peers_run *run)
{
    return peers_run_began(run, run->n - 1);
}

int peers_run_complain(const struct peers_run *run, int i, const char *what)
{
    const struct stream_seen *seen = peers_run_seen(run, i);

    fprintf(stderr,
            "darkbloom-bench: %s, stream %d of %d: %s: HTTP %d, %zu pieces, %lld tokens, %s\n",
            run->side == PEERS_PRODUCT ? "darkbloom" : "llama-server", i + 1, run->n, what,
            seen->status, seen->pieces, (long long)seen->completion_tokens,
            seen->ended ? "ended" : "open");
    return ERR_PROTOCOL;
}

int peers_run_judge(struct peers_run *run, int i, int64_t tokens)
{
    const struct stream_seen *seen = peers_run_seen(run, i);
    int64_t off = llabs(seen->prompt_tokens - tokens);

    if (!seen->whole)
        return peers_run_complain(run, i, "no whole answer");
    if (off > run->prompts->worst_off_tokens)
        run->prompts->worst_off_tokens = off;
    return 0;
}

double peers_run_first_s(const struct peers_run *run, int i)
{
    const struct stream_seen *seen = peers_run_seen(run, i);
    int64_t first_us = seen->pieces > 0 ? seen->pieces_us[0] : seen->end_us;

    return (double)(first_us - seen->sent_us) / 1e6;
}
