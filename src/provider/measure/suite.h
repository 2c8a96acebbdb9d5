/* SPDX-License-Identifier: Apache-2.0 */
/* The figures of one model on this machine, as `darkbloom benchmark` shows them: the engine's
 * process is started as the daemon starts it, and measured through the same port. */
#ifndef DARKBLOOM_PROVIDER_MEASURE_SUITE_H
#define DARKBLOOM_PROVIDER_MEASURE_SUITE_H

#include "provider/measure/measure.h"
#include "provider/model/model.h"
#include "provider/settings.h"

enum { SUITE_DECODES = 5, SUITE_PREFILLS = 3, SUITE_COLD = 2, SUITE_WARM = 5 };

struct suite_decode {
    int rows;
    double steady, whole;               /* tokens a second: prompts subtracted, and all of it */
    double first_least_s, first_most_s; /* to a row's first token */
};

struct suite_prefill {
    int64_t prompt_tokens;
    double first_s,
        rate; /* rate: tokens of the prompt a second until the first one of the answer */
};

struct suite_figures {
    struct model_facts facts;
    double load_s[SUITE_COLD],
        load_first_s[SUITE_COLD]; /* until it is ready; and its first token */
    double warm_first_s;          /* of a short prompt, median */
    double seal_us, open_us,
        sealed_first_s; /* a request's envelope at either end; sealed, opened and answered */
    struct suite_decode decode[SUITE_DECODES];
    int n_decode;
    struct suite_prefill prefill[SUITE_PREFILLS];
    int n_prefill;
    int64_t beside_tokens; /* of the prompt that came beside an answer; 0: not measured */
    double beside_gap_s, beside_first_s;
    int64_t shortest_tokens,
        new_tokens; /* of an answer whose rate was measured; that it should have had */
};

struct suite_config {
    const struct provider_settings *settings;
    const struct log *log;
    struct process_ops process; /* its loop is `loop` */
    struct loop *loop;
    int64_t new_tokens; /* of an answer whose rate is measured: 256 */
    /* A step begins. May be NULL. */
    void (*progress)(void *ud, const char *what);
    void *ud;
};

/* Takes minutes. Runs the loop. 0, or a code with what to do. */
int suite_run(const struct suite_config *config, struct suite_figures *ret_figures,
              struct err *ret_err);

#endif
