/* SPDX-License-Identifier: Apache-2.0 */
/* What leaves for a job: sealed chunks while its text grows, and one completion or one error.
 *
 * One chunk a token step, unless the socket is backed up (ANSWER_BACKED_UP_BYTES wait): then text
 * gathers in the job and leaves as one chunk, with the sum of its tokens, when the socket has
 * drained. What can gather is bounded by the context of a slot times the number of jobs; a
 * coordinator that takes nothing at all is dropped by the link's own limits.
 *
 * Each function returns 0, or a negative code when the connection went with it: then all jobs have
 * been released and must not be touched. */
#ifndef DARKBLOOM_PROVIDER_SERVE_ANSWER_H
#define DARKBLOOM_PROVIDER_SERVE_ANSWER_H

#include "proto/api_error.h"
#include "provider/serve/job.h"

enum { ANSWER_BACKED_UP_BYTES = 256 * 1024 };

/* The request was admitted: inference_accepted with its prompt's tokens. */
int answer_accepted(struct job *j);

/* Send the text that has not left, as one chunk; nothing while the socket is backed up, unless
 * `whatever_the_socket`. Does nothing for a job that is not streamed. */
int answer_text(struct job *j, bool whatever_the_socket);

/* The rest of the text, finish, usage if asked, [DONE] (or the one whole chunk). The text stays
 * for the signer; inference_complete follows with answer_complete. */
int answer_finish(struct job *j);

/* inference_complete; `signature` .p NULL where the signer failed. */
int answer_complete(struct job *j, struct str signature);

/* inference_error. The texts of `error` must not hold any of the prompt. */
int answer_error(struct serve *s, struct str request_id, const struct api_error *error);

#endif
