/* SPDX-License-Identifier: Apache-2.0 */
/* Prices: tokens to micro-USD. */
#include "ledger/price.h"

#include "base/err.h"

enum { TOKENS_PER_PRICE = 1000000 };

/* The product of two 64-bit numbers fits 128 bits; only the quotient has to fit 64. */
static __int128 price_part(int64_t tokens, int64_t micro_usd_per_mtok)
{
    return (__int128)tokens * micro_usd_per_mtok / TOKENS_PER_PRICE;
}

int price_cost(const struct price *p, int64_t prompt_tokens, int64_t completion_tokens,
               int64_t *ret_micro_usd)
{
    __int128 cost;

    if (prompt_tokens < 0 || completion_tokens < 0 || p->input_micro_usd_per_mtok < 0 ||
        p->output_micro_usd_per_mtok < 0)
        return ERR_RANGE;
    cost = price_part(prompt_tokens, p->input_micro_usd_per_mtok) +
           price_part(completion_tokens, p->output_micro_usd_per_mtok);
    if (cost > INT64_MAX)
        return ERR_RANGE;
    *ret_micro_usd = cost < PRICE_MINIMUM_MICRO_USD ? PRICE_MINIMUM_MICRO_USD : (int64_t)cost;
    return 0;
}

int64_t price_fee(int64_t cost_micro_usd)
{
    return (int64_t)((__int128)cost_micro_usd * PRICE_FEE_PERCENT / 100);
}
