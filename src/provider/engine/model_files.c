/* SPDX-License-Identifier: Apache-2.0 */
#include "provider/engine/model_files.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/sha.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/b64.h"
#include "base/buf.h"

enum {
    REGION_BYTES = 8 << 20,
    NS_PER_S = 1000000000,
    DIGITS = 5, /* of a shard's number */
};

static const char shard_tail[] = "-00001-of-00001.gguf"; /* the shape of what ends a shard's name */

enum { TAIL_BYTES = sizeof shard_tail - 1, COUNT_AT = sizeof "-00001-of-" - 1 };

/* --- names --- */

/* Digits where the shape has digits, else the same. */
static bool model_files_is_shard_tail(const char *tail)
{
    for (size_t i = 0; i < TAIL_BYTES; i++) {
        if (isdigit((unsigned char)shard_tail[i]) ? !isdigit((unsigned char)tail[i])
                                                  : tail[i] != shard_tail[i])
            return false;
    }
    return true;
}

static uint32_t model_files_number(const char *digits)
{
    uint32_t n = 0;

    for (int i = 0; i < DIGITS; i++)
        n = n * 10 + (uint32_t)(digits[i] - '0');
    return n;
}

/* What stands before the tail, when `path` is the name of one of `count` shards; .p NULL: not. */
static struct str model_files_prefix(const char *path, uint32_t count)
{
    size_t n = strlen(path);
    const char *tail = path + n - TAIL_BYTES;

    if (n <= TAIL_BYTES || !model_files_is_shard_tail(tail) ||
        model_files_number(tail + COUNT_AT) != count)
        return (struct str){0};
    return (struct str){path, n - TAIL_BYTES};
}

/* --- files --- */

static struct file_identity model_files_identity(const struct stat *st)
{
    return (struct file_identity){
        .dev = st->st_dev,
        .inode = st->st_ino,
        .size = (uint64_t)st->st_size,
        .mtime_ns = (int64_t)st->st_mtim.tv_sec * NS_PER_S + st->st_mtim.tv_nsec,
        .ctime_ns = (int64_t)st->st_ctim.tv_sec * NS_PER_S + st->st_ctim.tv_nsec};
}

/* Without waiting: what stands at `path` may be no file at all. */
static int model_files_open_one(struct model_files *m, struct model_file *f, struct str path,
                                struct gguf_facts *ret_facts, struct err *ret_err)
{
    struct str kept = arena_dup(&m->region, path), fd_path;
    struct stat st;

    if (!kept.p)
        return err_set(ret_err, ERR_NOMEM, "out of memory for the model's files");
    f->path = kept.p;
    f->fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (f->fd < 0)
        return err_errno(ret_err, ERR_IO, errno, "cannot read the model %.150s", f->path);
    fd_path = arena_printf(&m->region, "/proc/self/fd/%d", f->fd);
    if (!fd_path.p)
        return err_set(ret_err, ERR_NOMEM, "out of memory for the model's files");
    f->fd_path = fd_path.p;
    if (fstat(f->fd, &st) < 0)
        return err_errno(ret_err, ERR_IO, errno, "cannot read the model %.150s", f->path);
    f->identity = model_files_identity(&st);
    m->bytes += f->identity.size;
    return gguf_check_fd(f->fd, f->path, ret_facts, ret_err);
}

static int model_files_alloc(struct model_files *m, size_t n, struct err *ret_err)
{
    m->files = arena_array(&m->region, struct model_file, n);
    if (!m->files)
        return err_set(ret_err, ERR_NOMEM, "out of memory for the model's files");
    for (size_t i = 0; i < n; i++)
        m->files[i].fd = -1;
    m->n = n;
    return 0;
}

static int model_files_check_shard(const struct model_files *m, size_t i,
                                   const struct gguf_facts *shard, struct err *ret_err)
{
    if (shard->split_count != m->n || shard->split_no != i)
        return err_set(
            ret_err, ERR_CONFIG,
            "%.100s: split.no %u of split.count %u, but it is named as shard %zu of %zu; "
            "give the shards back their names",
            m->files[i].path, shard->split_no, shard->split_count, i + 1, m->n);
    if (i > 0 && shard->split_tensors != m->facts.split_tensors)
        return err_set(ret_err, ERR_CONFIG,
                       "%.100s: split.tensors.count is %llu, in the first shard %llu; they are of "
                       "different models: fetch them again",
                       m->files[i].path, (unsigned long long)shard->split_tensors,
                       (unsigned long long)m->facts.split_tensors);
    return 0;
}

static int model_files_open_shards(struct model_files *m, struct str prefix, uint32_t count,
                                   struct err *ret_err)
{
    uint64_t tensors = 0;
    int rc = model_files_alloc(m, count, ret_err);

    m->bytes = 0;
    for (uint32_t i = 0; rc == 0 && i < count; i++) {
        struct gguf_facts facts = {0};
        struct str path =
            arena_printf(&m->region, "%.*s-%05u-of-%05u.gguf", STR_ARG(prefix), i + 1, count);

        rc = path.p ? model_files_open_one(m, &m->files[i], path, &facts, ret_err)
                    : err_set(ret_err, ERR_NOMEM, "out of memory for the model's files");
        if (rc == 0 && i == 0)
            m->facts = facts;
        if (rc == 0)
            rc = model_files_check_shard(m, i, &facts, ret_err);
        tensors += rc == 0 ? facts.n_tensors : 0;
    }
    if (rc == 0 && tensors != m->facts.split_tensors)
        return err_set(ret_err, ERR_CONFIG,
                       "%.100s: its shards have %llu tensors, split.tensors.count is %llu; fetch "
                       "them again",
                       m->files[0].path, (unsigned long long)tensors,
                       (unsigned long long)m->facts.split_tensors);
    return rc;
}

static void model_files_close_all(struct model_files *m)
{
    for (size_t i = 0; i < m->n; i++) {
        if (m->files[i].fd >= 0)
            close(m->files[i].fd);
        m->files[i].fd = -1;
    }
    m->n = 0;
}

/* The file that was named tells how many there are; then each is opened, that one again. */
static int model_files_open_all(struct model_files *m, const char *path, struct err *ret_err)
{
    struct str prefix = {0};
    uint32_t count = 0;
    int rc = model_files_alloc(m, 1, ret_err);

    if (rc == 0)
        rc = model_files_open_one(m, &m->files[0], str_from(path), &m->facts, ret_err);
    if (rc < 0 || m->facts.split_count <= 1)
        return rc;
    count = m->facts.split_count;
    prefix = model_files_prefix(path, count);
    if (!prefix.p)
        return err_set(
            ret_err, ERR_CONFIG,
            "%.100s is shard %u of %u, but is not named NAME-%05u-of-%05u.gguf, by which "
            "the others are found; give it back its name",
            path, m->facts.split_no + 1, count, m->facts.split_no + 1, count);
    model_files_close_all(m);
    return model_files_open_shards(m, prefix, count, ret_err);
}

int model_files_open(const char *path, struct model_files *ret_files, struct err *ret_err)
{
    struct model_files m = {0};
    int rc;

    arena_init(&m.region, REGION_BYTES);
    rc = model_files_open_all(&m, path, ret_err);
    if (rc < 0)
        model_files_close(&m);
    else
        *ret_files = m;
    return rc;
}

void model_files_close(struct model_files *m)
{
    model_files_close_all(m);
    arena_free(&m->region);
}

int model_files_unchanged(const struct model_files *m, struct err *ret_err)
{
    for (size_t i = 0; i < m->n; i++) {
        const struct model_file *f = &m->files[i];
        struct file_identity now;
        struct stat st;

        if (fstat(f->fd, &st) < 0)
            return err_errno(ret_err, ERR_IO, errno, "cannot look at the model %.150s", f->path);
        now = model_files_identity(&st);
        if (memcmp(&now, &f->identity, sizeof now) != 0)
            return err_set(ret_err, ERR_CONFIG,
                           "%.150s was written while it was being loaded; start again when that is "
                           "done",
                           f->path);
    }
    return 0;
}

int model_files_hash(const struct model_files *m, char ret_hex[static FILE_HASH_BYTES],
                     struct err *ret_err)
{
    uint8_t digest[SHA256_DIGEST_LENGTH] = {0};
    char hex[FILE_HASH_BYTES];
    struct buf lines;
    int rc = 0;

    buf_init(&lines, m->n * sizeof hex + 1);
    for (size_t i = 0; rc == 0 && i < m->n; i++) {
        rc = file_hash_fd(m->files[i].fd, m->files[i].path, "the model", hex, ret_err);
        if (rc == 0 && buf_printf(&lines, "%s\n", hex) < 0)
            rc = err_set(ret_err, ERR_NOMEM, "out of memory for the model's hash");
    }
    if (rc == 0 && m->n == 1) {
        memcpy(ret_hex, hex, sizeof hex);
    } else if (rc == 0) {
        SHA256((const uint8_t *)buf_view(&lines).p, buf_view(&lines).n, digest);
        hex_encode(digest, sizeof digest, ret_hex);
    }
    buf_free(&lines);
    return rc;
}
