/* SPDX-License-Identifier: Apache-2.0 */
/* The one function of a fuzz target (libFuzzer's interface). */
#ifndef DARKBLOOM_TESTS_FUZZ_FUZZ_H
#define DARKBLOOM_TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
