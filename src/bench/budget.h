/* SPDX-License-Identifier: Apache-2.0 */
/* How far a figure is from its budget, as the tables' last column says it. */
#ifndef DARKBLOOM_BENCH_BUDGET_H
#define DARKBLOOM_BENCH_BUDGET_H

/* "met", or "2.5 ×": the factor that is missing. Returned by value, for use inside a printf. */
struct budget_distance {
    char text[24];
};

/* For times and costs. */
struct budget_distance budget_at_most(double measured, double budget);
/* For rates and ratios. */
struct budget_distance budget_at_least(double measured, double budget);

#endif
