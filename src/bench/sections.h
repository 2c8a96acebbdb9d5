/* SPDX-License-Identifier: Apache-2.0 */
/* Sections of the table that measure one room in process. Each prints its own markdown. */
#ifndef DARKBLOOM_BENCH_SECTIONS_H
#define DARKBLOOM_BENCH_SECTIONS_H

/* Durable reserve and settle beside the disk's own fdatasync. 0 or a negative error. */
int bench_store_section(void);

/* Tokens a second through the scheduler beside a bare llama_decode loop. */
int bench_engine_section(const char *model_path);

/* What invariant numerics cost, and what changes without them. */
int bench_numerics_section(const char *model_path);

#endif
