/* SPDX-License-Identifier: Apache-2.0 */
/* Streams that one case opens on one side, and what the loop runs until. */
#ifndef DARKBLOOM_BENCH_PEERS_RUN_H
#define DARKBLOOM_BENCH_PEERS_RUN_H

#include "bench/peers.h"
#include "bench/words.h"

enum { PEERS_STREAMS_MAX = 64 };

/* What all prompts of a comparison have in common. */
struct peers_prompts {
    const struct words *words;
    bool may_bias;           /* both sides take logit_bias: an answer can be kept from ending */
    int64_t overhead_tokens; /* of a prompt besides its random words */
    int64_t
        worst_off_tokens; /* of a prompt's length by a side's own usage against what was meant */
};

struct peers_ask {
    uint64_t seed;
    int64_t tokens; /* of the prompt, overhead included */
    uint64_t tail_seed;
    int64_t tail_tokens; /* more words behind, by another seed */
    int64_t max_tokens;
    bool endless;   /* the answer does not end before max_tokens, where may_bias */
    bool other_key; /* of the product's other account */
};

/* The request, greedy, as JSON. Appended to `out`. */
int peers_body(const struct peers_prompts *prompts, const struct peers_ask *ask, struct buf *out);

struct peers_run {
    struct peers *peers;
    struct peers_prompts *prompts;
    enum peers_side side;
    struct stream *at[PEERS_STREAMS_MAX + 1];
    int n;
    bool (*enough)(struct peers_run *run);
    struct loop_timer patience;
    bool late;
};

/* Add a stream. */
int peers_run_ask(struct peers_run *run, const struct peers_ask *ask);
/* Run the loop until `enough` says so; it is asked at each piece and end. 0, or ERR_TIMEOUT after
 * ten minutes. */
int peers_run_until(struct peers_run *run, bool (*enough)(struct peers_run *run));
/* Leave all of them. */
void peers_run_end(struct peers_run *run);

const struct stream_seen *peers_run_seen(const struct peers_run *run, int i);

/* For peers_run_until. A stream runs from its eighth piece on; one that has ended began and ran. */
bool peers_run_all_ended(struct peers_run *run);
bool peers_run_all_run(struct peers_run *run);
bool peers_run_first_began(struct peers_run *run);
bool peers_run_last_began(struct peers_run *run);

/* Whether stream `i` is whole, with its prompt's length noted. 0 or ERR_PROTOCOL. */
int peers_run_judge(struct peers_run *run, int i, int64_t tokens);
/* Say on stderr why a round does not count. ERR_PROTOCOL. */
int peers_run_complain(const struct peers_run *run, int i, const char *what);

/* Seconds from a stream's sending to its first piece; an answer whose first token was its end has
 * none, and its end counts. */
double peers_run_first_s(const struct peers_run *run, int i);

#endif
