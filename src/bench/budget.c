/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/budget.h"

#include <stdio.h>

static struct budget_distance budget_missing(double factor)
{
    struct budget_distance d = {"met"};

    if (factor > 1)
        snprintf(d.text, sizeof d.text, "%.2f ×", factor);
    return d;
}

struct budget_distance budget_at_most(double measured, double budget)
{
    return budget_missing(measured / budget);
}

struct budget_distance budget_at_least(double measured, double budget)
{
    return budget_missing(measured > 0 ? budget / measured : 1e6);
}
