/* SPDX-License-Identifier: Apache-2.0 */
#include "provider/engine/gguf_check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "provider/engine/gguf_check_impl.h"
#include "provider/engine/gguf_types.h"

enum {
    REGION_BYTES = 192 << 20, /* names of keys, tensors and tokens */
    VERSION_FIRST = 2,
    VERSION_LAST = 3
};

/* --- the beginning --- */

static int gguf_check_count(struct gguf_checker *c, const char *what, uint64_t max,
                            uint64_t *ret_count)
{
    uint64_t n = 0;
    int rc;

    gguf_reader_field(&c->r, "number of ", str_from(what));
    rc = gguf_read_u64(&c->r, &n);
    if (rc < 0)
        return rc;
    if (n > max)
        return gguf_reader_fail(&c->r, ERR_CONFIG,
                                "is %llu; the limit is %llu; fetch the file again",
                                (unsigned long long)n, (unsigned long long)max);
    *ret_count = n;
    return 0;
}

static int gguf_check_magic(struct gguf_checker *c)
{
    static const char magic[4] = {'G', 'G', 'U', 'F'};
    char begin[sizeof magic];
    int rc;

    gguf_reader_field(&c->r, "magic", (struct str){0});
    rc = gguf_read_bytes(&c->r, begin, sizeof begin);
    if (rc < 0)
        return rc;
    if (memcmp(begin, magic, sizeof magic) != 0)
        return gguf_reader_fail(&c->r, ERR_CONFIG,
                                "is not GGUF: this is no model file; name a .gguf file");
    gguf_reader_field(&c->r, "version", (struct str){0});
    rc = gguf_read_u32(&c->r, &c->facts.version);
    if (rc < 0)
        return rc;
    if (c->facts.version < VERSION_FIRST || c->facts.version > VERSION_LAST)
        return gguf_reader_fail(&c->r, ERR_CONFIG,
                                "is %u, but %d and %d are read (little endian); convert the model "
                                "again",
                                c->facts.version, VERSION_FIRST, VERSION_LAST);
    return 0;
}

static int gguf_check_keys(struct gguf_checker *c)
{
    int rc = gguf_check_magic(c);

    if (rc == 0)
        rc = gguf_check_count(c, "tensors", GGUF_MAX_TENSORS, &c->facts.n_tensors);
    if (rc == 0)
        rc = gguf_check_count(c, "keys", GGUF_MAX_KEYS, &c->n_keys);
    for (uint64_t i = 0; rc == 0 && i < c->n_keys; i++) {
        gguf_reader_field(&c->r, "a key's name", (struct str){0});
        rc = gguf_check_key(c);
    }
    if (rc == 0)
        rc = gguf_check_vocabulary(c);
    return rc == 0 ? gguf_check_split(c) : rc;
}

/* --- tensors --- */

/* The elements of a row, and how many rows there are. */
static int gguf_check_shape(struct gguf_checker *c, uint64_t *ret_row, uint64_t *ret_rows)
{
    uint64_t n[GGUF_MAX_DIMENSIONS] = {1, 1, 1, 1}, rows, all;
    uint32_t n_dims = 0;
    int rc = gguf_read_u32(&c->r, &n_dims);

    if (rc < 0)
        return rc;
    if (n_dims < 1 || n_dims > GGUF_MAX_DIMENSIONS)
        return gguf_reader_fail(&c->r, ERR_CONFIG,
                                "has %u dimensions; from 1 to %d are known; fetch the file again",
                                n_dims, GGUF_MAX_DIMENSIONS);
    for (uint32_t i = 0; rc == 0 && i < n_dims; i++)
        rc = gguf_read_u64(&c->r, &n[i]);
    if (rc < 0)
        return rc;
    if (n[0] == 0 || n[1] == 0 || n[2] == 0 || n[3] == 0 ||
        __builtin_mul_overflow(n[1], n[2], &rows) || __builtin_mul_overflow(rows, n[3], &rows) ||
        __builtin_mul_overflow(rows, n[0], &all) || all > INT64_MAX)
        return gguf_reader_fail(&c->r, ERR_CONFIG,
                                "has no elements or more than 2^63; fetch the file again");
    *ret_row = n[0];
    *ret_rows = rows;
    return 0;
}

static int gguf_check_size(struct gguf_checker *c, uint64_t *ret_bytes)
{
    const struct gguf_tensor_type *t;
    uint64_t row = 0, rows = 0;
    uint32_t type = 0;
    int rc = gguf_check_shape(c, &row, &rows);

    if (rc == 0)
        rc = gguf_read_u32(&c->r, &type);
    if (rc < 0)
        return rc;
    t = gguf_tensor_type(type);
    if (!t)
        return gguf_reader_fail(&c->r, ERR_CONFIG,
                                "is of type %u, which llama.cpp 0.5.0 does not read; quantise the "
                                "model again",
                                type);
    if (row % t->block_elements != 0)
        return gguf_reader_fail(&c->r, ERR_CONFIG,
                                "has rows of %llu elements, not whole blocks of %u (%s); quantise "
                                "the model again",
                                (unsigned long long)row, t->block_elements, t->name);
    if (__builtin_mul_overflow(row / t->block_elements, t->block_bytes, &row) ||
        __builtin_mul_overflow(row, rows, ret_bytes))
        return gguf_reader_fail(&c->r, ERR_CONFIG,
                                "has more than 2^64 bytes; fetch the file "
                                "again");
    return 0;
}

/* The library reads tensors that follow one another in the order of their names' list, each filled
 * up to the alignment: so none overlaps another, and none is outside when the last one is inside.
 */
static int gguf_check_place(struct gguf_checker *c, uint64_t bytes)
{
    uint64_t offset = 0, filled = 0;
    int rc = gguf_read_u64(&c->r, &offset);

    if (rc < 0)
        return rc;
    if (offset % c->alignment != 0)
        return gguf_reader_fail(&c->r, ERR_CONFIG,
                                "is at offset %llu, no multiple of the alignment %llu; convert the "
                                "model again",
                                (unsigned long long)offset, (unsigned long long)c->alignment);
    if (offset != c->data_bytes)
        return gguf_reader_fail(&c->r, ERR_CONFIG,
                                "is at offset %llu, which %s: %llu was due; convert the model "
                                "again",
                                (unsigned long long)offset,
                                offset < c->data_bytes ? "overlaps another" : "leaves a gap",
                                (unsigned long long)c->data_bytes);
    if (__builtin_add_overflow(offset, bytes, &c->data_end) ||
        __builtin_add_overflow(c->data_end, c->alignment - 1, &filled))
        return gguf_reader_fail(&c->r, ERR_CONFIG, "ends beyond 2^64; fetch the file again");
    c->data_bytes = filled & ~(c->alignment - 1);
    return 0;
}

static int gguf_check_tensor(struct gguf_checker *c)
{
    struct str name = {0};
    uint64_t bytes = 0;
    int rc;

    gguf_reader_field(&c->r, "a tensor's name", (struct str){0});
    rc = gguf_take_name(c, &c->tensors, "tensor ", GGUF_MAX_TENSOR_NAME_BYTES, &name);
    if (rc == 0)
        rc = gguf_check_size(c, &bytes);
    return rc == 0 ? gguf_check_place(c, bytes) : rc;
}

static int gguf_check_tensors(struct gguf_checker *c)
{
    uint64_t data_at = 0;
    int rc = 0;

    for (uint64_t i = 0; rc == 0 && i < c->facts.n_tensors; i++)
        rc = gguf_check_tensor(c);
    if (rc < 0 || c->facts.n_tensors == 0)
        return rc;
    /* at is inside the file: no overflow */
    data_at = (c->r.at + c->alignment - 1) & ~(c->alignment - 1);
    gguf_reader_field(&c->r, "the last tensor", (struct str){0});
    if (data_at > c->r.source.size || c->data_end > c->r.source.size - data_at)
        return gguf_reader_fail(&c->r, ERR_CONFIG,
                                "ends at byte %llu + %llu of %llu: the file is cut off; fetch it "
                                "again",
                                (unsigned long long)data_at, (unsigned long long)c->data_end,
                                (unsigned long long)c->r.source.size);
    return 0;
}

/* --- files --- */

int gguf_check(const struct gguf_source *source, struct gguf_facts *ret_facts, struct err *ret_err)
{
    struct gguf_checker *c = calloc(1, sizeof *c);
    int rc;

    if (!c)
        return err_set(ret_err, ERR_NOMEM, "out of memory for %.150s", source->name);
    gguf_reader_init(&c->r, source, ret_err);
    c->facts.file_type = -1;
    c->alignment = GGUF_MIN_ALIGNMENT;
    arena_init(&c->region, REGION_BYTES);
    rc = gguf_check_keys(c);
    if (rc == 0)
        rc = gguf_check_tensors(c);
    if (rc == 0)
        *ret_facts = c->facts;
    map_free(&c->keys);
    map_free(&c->tensors);
    map_free(&c->tokens);
    arena_free(&c->region);
    free(c);
    return rc;
}

static int gguf_read_fd(void *ud, uint64_t at, void *to, size_t n)
{
    int fd = *(const int *)ud;
    uint8_t *p = to;

    while (n > 0) {
        ssize_t some = pread(fd, p, n, (off_t)at);

        if (some < 0 && errno == EINTR)
            continue;
        if (some <= 0)
            return ERR_IO;
        p += some;
        at += (uint64_t)some;
        n -= (size_t)some;
    }
    return 0;
}

int gguf_check_fd(int fd, const char *name, struct gguf_facts *ret_facts, struct err *ret_err)
{
    struct gguf_source source = {.name = name, .read = gguf_read_fd, .ud = &fd};
    struct stat st;

    if (fstat(fd, &st) < 0)
        return err_errno(ret_err, ERR_IO, errno, "cannot read the model %.150s", name);
    if (!S_ISREG(st.st_mode))
        return err_set(ret_err, ERR_CONFIG, "the model %.150s is no file; name a .gguf file", name);
    source.size = (uint64_t)st.st_size;
    return gguf_check(&source, ret_facts, ret_err);
}
