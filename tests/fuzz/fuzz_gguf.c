/* SPDX-License-Identifier: Apache-2.0 */
/* A GGUF file. Invariants: nothing is read beyond its end, what is refused is refused in words, and
 * what is accepted is within the limits that the library is safe with. */
#include "fuzz/fuzz.h"
#include <stdlib.h>
#include <string.h>

#include "provider/engine/gguf_check.h"

static int read_bytes(void *ud, uint64_t at, void *to, size_t n)
{
    const struct str *file = ud;

    if (at > file->n || n > file->n - at)
        abort();
    memcpy(to, file->p + at, n);
    return 0;
}

static void check(const struct gguf_facts *f, size_t size)
{
    if (f->version < 2 || f->version > 3 || f->n_tensors > GGUF_MAX_TENSORS ||
        f->n_tensors > size || f->file_type < -1 || f->file_type > UINT32_MAX)
        abort();
    if (strnlen(f->architecture, sizeof f->architecture) == sizeof f->architecture)
        abort();
    if (f->split_count > GGUF_MAX_SHARDS ||
        (f->split_count > 0 && (f->split_no >= f->split_count || f->split_tensors < f->n_tensors)))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str file = {(const char *)data, size};
    const struct gguf_source source = {"fuzz.gguf", size, read_bytes, &file};
    struct gguf_facts facts;
    struct err e = {0};
    int rc = gguf_check(&source, &facts, &e);

    if (rc == 0)
        check(&facts, size);
    else if (!e.text[0] || (rc != ERR_CONFIG && rc != ERR_NOMEM))
        abort();
    return 0;
}
