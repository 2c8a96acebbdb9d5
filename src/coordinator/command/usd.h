/* SPDX-License-Identifier: Apache-2.0 */
/* Amounts of money as people write them: decimal USD, exactly. */
#ifndef DARKBLOOM_COORDINATOR_COMMAND_USD_H
#define DARKBLOOM_COORDINATOR_COMMAND_USD_H

#include "base/str.h"

enum { USD_TEXT_BYTES = 24 };

/* "5", "0.25", "1.000001": digits with at most six places, no sign, no exponent. 0 and micro-USD,
 * or ERR_PARSE, or ERR_RANGE beyond int64. */
int usd_parse(struct str text, int64_t *ret_micro_usd);

/* "5.000000", "-0.000100". */
void usd_format(int64_t micro_usd, char ret_text[static USD_TEXT_BYTES]);

#endif
