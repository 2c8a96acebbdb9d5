/* SPDX-License-Identifier: Apache-2.0 */
/* A model by script. The next token of a sequence depends on that sequence's own tokens and on
 * nothing else, so what a row says must not depend on its neighbours. Prompts are the messages'
 * text, one token a byte; a generated token is a letter, and the answer ends where the script says.
 */
#ifndef DARKBLOOM_TESTS_UNIT_PROVIDER_FAKE_MODEL_H
#define DARKBLOOM_TESTS_UNIT_PROVIDER_FAKE_MODEL_H

#include <pthread.h>

#include "base/clock.h"
#include "provider/engine/model_ops.h"

enum {
    FAKE_VOCAB = 300,
    FAKE_CONTEXT = 256,
    FAKE_SEQS = 8,
    FAKE_END = 299, /* the token that ends an answer */
    FAKE_PIECES = 16,
    FAKE_LONGEST_PIECE = 8,
    FAKE_RENDERS = 32
};

struct fake_model {
    int32_t few_seqs, few_rows; /* limits; 0: the usual ones */
    int32_t history[FAKE_SEQS][FAKE_CONTEXT + 1];
    int32_t length[FAKE_SEQS];
    float row[FAKE_VOCAB];
    int32_t chosen[FAKE_SEQS * (FAKE_CONTEXT + 1)];
    int32_t end_after;               /* generated tokens until FAKE_END; 0: never */
    const char *pieces[FAKE_PIECES]; /* when set, the n-th generated token is that text */
    bool dependent;                  /* a broken kernel: logits change with the number of rows */
    int32_t
        lone_rows_differ_from; /* another: over so many cells a row alone is computed otherwise */
    bool broken;               /* a broken model: logits are no numbers */

    pthread_mutex_t lock;
    pthread_cond_t changed;
    int64_t pass_us, token_us; /* what a pass costs, and each of its rows */
    int64_t now_us, longest_us;
    bool gated; /* passes wait for fake_model_allow */
    int allowed, passes;
    bool fail_next, fail_all;
    const atomic_bool *give_up; /* a pass ends early where it is set when the gate opens */
    int given_up;               /* passes that did */
    bool renders_held;          /* further prompts wait in `render` */
    size_t held_over;           /* only those of more bytes do */
    int renders, renders_allowed, tokenised;
    char rendered[FAKE_RENDERS + 1]; /* the second character of each prompt, in their order */
    int32_t most_seqs, most_rows;    /* in one pass */
    bool broke_order;                /* rows or sequences came out of order */
};

void fake_model_init(struct fake_model *m);
/* Let `n` more passes run; waits until they have begun and returns at once when not gated. */
void fake_model_allow(struct fake_model *m, int n);
/* Wait until a pass stands at the gate. */
void fake_model_wait_at_gate(struct fake_model *m);
/* Hold prompts in `render` from now on, or let them go. */
void fake_model_hold_renders(struct fake_model *m, bool hold);
/* Wait until a prompt is held. */
void fake_model_wait_at_render(struct fake_model *m);
int fake_model_passes(struct fake_model *m);

/* Time that passes only in `decode`. */
struct clock fake_model_clock(struct fake_model *m);

extern const struct model_ops fake_model_ops;

#endif
