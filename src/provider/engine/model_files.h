/* SPDX-License-Identifier: Apache-2.0 */
/* The files of a model: one, or the shards NAME-00001-of-000NN.gguf of a split one, each opened
 * once. What is checked and hashed is what is loaded: the library gets the open files
 * (`fd_path`), and model_files_unchanged tells afterwards whether one was written
 * meanwhile. One thread. */
#ifndef DARKBLOOM_PROVIDER_ENGINE_MODEL_FILES_H
#define DARKBLOOM_PROVIDER_ENGINE_MODEL_FILES_H

#include "base/arena.h"
#include "provider/engine/gguf_check.h"
#include "provider/file_hash.h"

/* What tells that a file is the same as before, without reading it. */
struct file_identity {
    uint64_t dev, inode, size;
    int64_t mtime_ns, ctime_ns;
};

struct model_file {
    int fd;
    const char *path;    /* as it was opened */
    const char *fd_path; /* opens the same file again, whatever is at `path` by then */
    struct file_identity identity;
};

struct model_files {
    struct arena region;
    size_t n; /* 1, or the number of shards */
    struct model_file *files;
    struct gguf_facts facts; /* of the first */
    uint64_t bytes;          /* of all */
};

/* Open and check the model of which `path` is the file, or any shard. ERR_CONFIG or ERR_IO with
 * the file and the way out; ERR_NOMEM. */
int model_files_open(const char *path, struct model_files *ret_files, struct err *ret_err);
/* Files that were not opened are allowed (zeroed). */
void model_files_close(struct model_files *m);

/* The weight hash: SHA-256 of the file; of a split model, SHA-256 of its shards' hashes in
 * lower-case hex, each with a newline behind it, in the order of their numbers, which is what
 * `sha256sum NAME-*.gguf | cut -d' ' -f1 | sha256sum` prints. Reads them whole. 0 or ERR_IO. */
int model_files_hash(const struct model_files *m, char ret_hex[static FILE_HASH_BYTES],
                     struct err *ret_err);

/* 0, or ERR_CONFIG: a file was written or replaced in place since it was opened. */
int model_files_unchanged(const struct model_files *m, struct err *ret_err);

#endif
