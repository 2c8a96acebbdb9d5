/* SPDX-License-Identifier: Apache-2.0 */
#include "base/state.h"

#include <stdio.h>
#include <stdlib.h>

const char *state_name(const struct state_table *t, unsigned state)
{
    return state < t->n ? t->rows[state].name : "?";
}

void state_check_move(const struct state_table *t, unsigned from, unsigned to)
{
    if (from < t->n && to < t->n && t->rows[from].legal & STATE_BIT(to))
        return;
    fprintf(stderr, "%s: no way from %s to %s\n", t->what, state_name(t, from), state_name(t, to));
    abort();
}
