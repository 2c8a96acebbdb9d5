/* SPDX-License-Identifier: Apache-2.0 */
#include "provider/engine/gguf_read.h"

#include <stdio.h>
#include <string.h>

void gguf_reader_init(struct gguf_reader *r, const struct gguf_source *source, struct err *err)
{
    r->source = *source;
    r->err = err;
    r->at = r->block_at = 0;
    r->block_n = 0;
    r->field[0] = 0;
}

void gguf_reader_field(struct gguf_reader *r, const char *kind, struct str name)
{
    int n = snprintf(r->field, sizeof r->field, "%s%.*s", kind, STR_ARG(name));

    for (int i = 0; i < n && i < (int)sizeof r->field - 1; i++) {
        if (r->field[i] < ' ' || r->field[i] > '~')
            r->field[i] = '?';
    }
}

static int gguf_reader_ended(struct gguf_reader *r)
{
    return gguf_reader_fail(r, ERR_CONFIG,
                            "ends beyond the file's %llu bytes: it is cut off; fetch it again",
                            (unsigned long long)r->source.size);
}

/* The block that the next byte is in. */
static int gguf_reader_fill(struct gguf_reader *r)
{
    uint64_t left = r->source.size - r->at;
    size_t n = left < sizeof r->block ? (size_t)left : sizeof r->block;
    int rc = r->source.read(r->source.ud, r->at, r->block, n);

    if (rc < 0)
        return gguf_reader_fail(r, rc, "cannot be read from the disk");
    r->block_at = r->at;
    r->block_n = n;
    return 0;
}

int gguf_read_bytes(struct gguf_reader *r, void *ret_bytes, size_t n)
{
    uint8_t *to = ret_bytes;

    if (n > r->source.size - r->at)
        return gguf_reader_ended(r);
    while (n > 0) {
        uint64_t in_block = r->at - r->block_at;
        size_t some;

        if (in_block >= r->block_n) {
            int rc = gguf_reader_fill(r);

            if (rc < 0)
                return rc;
            in_block = 0;
        }
        some = r->block_n - (size_t)in_block;
        some = some < n ? some : n;
        memcpy(to, r->block + in_block, some);
        r->at += some;
        to += some;
        n -= some;
    }
    return 0;
}

int gguf_read_u32(struct gguf_reader *r, uint32_t *ret_value)
{
    uint8_t b[4] = {0};
    int rc = gguf_read_bytes(r, b, sizeof b);

    if (rc == 0)
        *ret_value =
            (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
    return rc;
}

int gguf_read_u64(struct gguf_reader *r, uint64_t *ret_value)
{
    uint32_t low = 0, high = 0;
    int rc = gguf_read_u32(r, &low);

    if (rc == 0)
        rc = gguf_read_u32(r, &high);
    if (rc == 0)
        *ret_value = (uint64_t)high << 32 | low;
    return rc;
}

int gguf_read_skip(struct gguf_reader *r, uint64_t n)
{
    if (n > r->source.size - r->at)
        return gguf_reader_ended(r);
    r->at += n;
    return 0;
}
