/* SPDX-License-Identifier: Apache-2.0 */
/* Prices in integer micro-USD per million tokens, with arithmetic that cannot overflow. */
#ifndef DARKBLOOM_LEDGER_PRICE_H
#define DARKBLOOM_LEDGER_PRICE_H

#include <stdint.h>

#define PRICE_DEFAULT_INPUT     50000
#define PRICE_DEFAULT_OUTPUT    200000
#define PRICE_MINIMUM_MICRO_USD 100LL
#define PRICE_FEE_PERCENT       5

struct price {
    int64_t input_micro_usd_per_mtok, output_micro_usd_per_mtok;
};

/* max(100, prompt × input / 10^6 + completion × output / 10^6), each product truncated on its own.
 * 0 and *ret_micro_usd; ERR_RANGE for negative counts or prices, or a result beyond int64. */
int price_cost(const struct price *p, int64_t prompt_tokens, int64_t completion_tokens,
               int64_t *ret_micro_usd);

/* Platform fee of a cost ≥ 0: floor(cost × 5 / 100); the provider gets the rest. */
int64_t price_fee(int64_t cost_micro_usd);

#endif
