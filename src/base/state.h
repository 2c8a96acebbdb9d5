/* SPDX-License-Identifier: Apache-2.0 */
/* State machines declared as tables: one row a state, with its name and the states that may follow.
 * A move that the table does not have is a broken rule of this program: going on could charge
 * twice or answer twice, so it ends the process with the two names, in release builds too. */
#ifndef DARKBLOOM_BASE_STATE_H
#define DARKBLOOM_BASE_STATE_H

#include <stddef.h>

struct state_row {
    const char *name;
    unsigned legal; /* STATE_BIT of each state that may follow */
};

struct state_table {
    const char *what; /* "hold" */
    const struct state_row *rows;
    size_t n;
};

#define STATE_BIT(state) (1U << (state))

/* Abort unless `to` may follow `from`. */
void state_check_move(const struct state_table *t, unsigned from, unsigned to);
/* Its name, or "?" for a number that is no state. */
const char *state_name(const struct state_table *t, unsigned state);

#endif
