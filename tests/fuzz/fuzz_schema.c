/* SPDX-License-Identifier: Apache-2.0 */
/* Schemas and patterns of consumers: judged in bounded time, whatever they are; what is too long is
 * refused; a tool's schema is judged no stricter than an answer's. */
#include "fuzz/fuzz.h"
#include <stdlib.h>

#include "provider/engine/schema_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str input = {(const char *)data, size};
    enum engine_wrong whole = schema_check(input, true), hint = schema_check(input, false);

    if (whole == ENGINE_WRONG_NONE && hint != ENGINE_WRONG_NONE)
        abort();
    if (whole >= ENGINE_WRONG_COUNT || (size > SCHEMA_MAX_BYTES && whole == ENGINE_WRONG_NONE))
        abort();
    if (schema_pattern_ok(input) && (size > SCHEMA_MAX_PATTERN_BYTES || input.p[0] != '^'))
        abort();
    return 0;
}
