/* SPDX-License-Identifier: Apache-2.0 */
/* What an engine does in how much time, seen through its port: requests are submitted together, and
 * the times of their tokens are kept. Belongs to the loop's thread. */
#ifndef DARKBLOOM_PROVIDER_MEASURE_MEASURE_H
#define DARKBLOOM_PROVIDER_MEASURE_MEASURE_H

#include "net/loop.h"
#include "provider/engine/engine_port.h"

enum { MEASURE_ROWS_MAX = 16, MEASURE_PIECES_MAX = 4096 };

/* A request and what was seen of it; times are the loop's monotonic microseconds, 0: not yet. */
struct measure_row {
    /* asked */
    uint64_t seed; /* chooses the prompt's words */
    int64_t words; /* of the prompt */
    int64_t max_tokens;
    int64_t after_pieces; /* submitted once row 0 has so many; 0: at once */
    /* seen */
    int64_t submitted_us, ended_us;
    int64_t prompt_tokens, completion_tokens;
    int64_t pieces_us[MEASURE_PIECES_MAX]; /* texts; more than fit are counted, not kept */
    int64_t n_pieces;
    bool submitted, ended;
    int code; /* 0, or why it failed */
};

struct measure {
    struct loop *loop;
    struct engine_port port;
    struct measure_row *rows;
    int n;
    uint64_t tag; /* of rows[0]; the next run has others */
};

/* Submit rows and run the loop until all have ended. 0, the code of the first that failed, or
 * ERR_TIMEOUT after ten minutes, when they are cancelled. */
int measure_run(struct measure *m, struct measure_row *rows, int n);
/* The engine has events: to be called on the loop's thread, also where no run waits. */
void measure_on_events(struct measure *m);

/* Seconds from a row's submission to its first text, or to its end where it has none. */
double measure_first_s(const struct measure_row *row);
/* Tokens a second while all rows run: from the last first text to the first last one. 0 where they
 * did not run together. */
double measure_steady(const struct measure_row *rows, int n);
/* Tokens a second from the first submission to the last text, prompts included. */
double measure_whole(const struct measure_row *rows, int n);
/* Row 0's worst gap in seconds from row 1's submission to row 1's first text. */
double measure_worst_gap_s(const struct measure_row *rows);

#endif
