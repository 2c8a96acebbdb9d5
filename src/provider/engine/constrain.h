/* SPDX-License-Identifier: Apache-2.0 */
/* A grammar that one answer must fit, through the library's sampler of that kind, which throws: C++
 * behind a C interface, and every exception ends here. Made on the preparing thread, used on the
 * batch thread, by one at a time.
 *
 * The library holds a candidate against the whole grammar, so asking about every token of a
 * vocabulary costs milliseconds. What the sampler chose is asked about alone; only where it does
 * not fit are the likeliest CONSTRAINT_TOP tokens looked at, and the whole vocabulary only where
 * none of these fits.
 *
 * A lazy grammar (tools that the model may call) begins where the answer holds one of its words
 * outside of reasoning. Until then the answer is searched here, a few tokens at a time: the library
 * would search all of it with a regular expression at every token. */
#ifndef DARKBLOOM_PROVIDER_ENGINE_CONSTRAIN_H
#define DARKBLOOM_PROVIDER_ENGINE_CONSTRAIN_H

#ifdef __cplusplus
extern "C" {
#endif

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CONSTRAINT_TOP = 256,
    CONSTRAINT_GRAMMAR_MAX_BYTES = 512 << 10, /* of GBNF */
    /* A grammar that takes more of the batch thread's processor than this, on the average of its
     * tokens, ends its answer: all other rows wait meanwhile. */
    CONSTRAINT_TOKEN_US = 20000,
    CONSTRAINT_GRACE_US = 400000 /* in all, before the average counts */
};

struct llama_vocab;
struct chat_form;
struct constraint;

/* Of what chat_form_grammar says; *ret_constraint NULL where that is nothing. 0; ERR_PARSE: no
 * grammar; ERR_LIMIT: it is larger than CONSTRAINT_GRAMMAR_MAX_BYTES, or repeats too much for the
 * library; ERR_NOMEM. */
int constraint_new(const struct llama_vocab *vocab, const struct chat_form *form,
                   struct constraint **ret_constraint);
void constraint_free(struct constraint *c); /* NULL is allowed */

/* Whether the answer may go on with this token. */
bool constraint_allows(struct constraint *c, int32_t token);
/* Make the logits of tokens that do not fit -INFINITY: of all but at most CONSTRAINT_TOP where one
 * of these fits. 0, or ERR_MODEL: no token fits. */
int constraint_mask(struct constraint *c, float *logits, int32_t vocab);
/* The answer goes on with it. 0; ERR_MODEL: it does not fit; ERR_TIMEOUT: see CONSTRAINT_TOKEN_US.
 */
int constraint_accept(struct constraint *c, int32_t token);

#ifdef __cplusplus
}
#endif

#endif
