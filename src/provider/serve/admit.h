/* SPDX-License-Identifier: Apache-2.0 */
/* From an envelope to a job of the engine, or to a refusal. */
#ifndef DARKBLOOM_PROVIDER_SERVE_ADMIT_H
#define DARKBLOOM_PROVIDER_SERVE_ADMIT_H

#include "proto/api_error.h"
#include "provider/serve/serve_impl.h"

/* Open the envelope, check what is in it and hand it to the engine. 0: the job runs;
 * ERR_DENIED: *ret_error says why not, in words that hold nothing of the prompt; the caller
 * releases the job. */
int admit_request(struct job *j, const struct msg_inference_request *m,
                  struct api_error *ret_error);

#endif
