/* SPDX-License-Identifier: Apache-2.0 */
/* A model's files: every shard is found and checked, and hashed in its order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fake_gguf.h"
#include "provider/engine/model_files.h"

enum { PATH_BYTES = 160, SHARDS = 3 };

static char dir[] = "/tmp/darkbloom-model-XXXXXX";

static int make_dir(void **state)
{
    (void)state;
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
    (void)state;
    return rmdir(dir);
}

static const char *in_dir(const char *name)
{
    static char path[PATH_BYTES];

    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static const char *shard_name(int no, int count)
{
    static char name[PATH_BYTES];

    snprintf(name, sizeof name, "m-%05d-of-%05d.gguf", no, count);
    return name;
}

struct shard {
    uint32_t no, count;
    int32_t tensors; /* of all */
    const char *tensor;
};

static void write_shard(const char *name, struct shard shard)
{
    struct fake_gguf g;

    fake_gguf_init(&g);
    fake_gguf_key_u16(&g, "split.no", shard.no);
    fake_gguf_key_u16(&g, "split.count", shard.count);
    fake_gguf_key_i32(&g, "split.tensors.count", shard.tensors);
    if (shard.no == 0)
        fake_gguf_key_u32(&g, "general.file_type", 15);
    fake_gguf_tensor(&g,
                     &(struct fake_gguf_tensor){.name = shard.tensor, .n_dims = 1, .dims = {9}});
    fake_gguf_write(&g, in_dir(name));
    fake_gguf_free(&g);
}

static void write_shards(void)
{
    static const char *const tensors[SHARDS] = {"a", "b", "c"};

    for (int i = 0; i < SHARDS; i++)
        write_shard(shard_name(i + 1, SHARDS),
                    (struct shard){(uint32_t)i, SHARDS, SHARDS, tensors[i]});
}

static void remove_shards(void)
{
    for (int i = 0; i < SHARDS; i++)
        unlink(in_dir(shard_name(i + 1, SHARDS)));
}

static void run(const char *command, char *ret_line, size_t n)
{
    FILE *f = popen(command, "re");

    assert_non_null(f);
    assert_non_null(fgets(ret_line, (int)n, f));
    pclose(f);
    ret_line[strcspn(ret_line, " \n")] = 0;
}

static void a_model_of_one_file_has_that_files_hash(void **state)
{
    struct fake_gguf g;
    struct model_files m;
    char hash[FILE_HASH_BYTES], expected[128], command[2 * PATH_BYTES];
    struct err e = {0};

    (void)state;
    fake_gguf_init(&g);
    fake_gguf_write(&g, in_dir("one.gguf"));
    assert_int_equal(model_files_open(in_dir("one.gguf"), &m, &e), 0);
    assert_int_equal(m.n, 1);
    assert_int_equal(model_files_hash(&m, hash, &e), 0);
    snprintf(command, sizeof command, "sha256sum %s", in_dir("one.gguf"));
    run(command, expected, sizeof expected);
    assert_string_equal(hash, expected);
    assert_int_equal(m.bytes, buf_view(&g.file).n);
    model_files_close(&m);
    fake_gguf_free(&g);
    unlink(in_dir("one.gguf"));
}

static void any_shard_leads_to_all_and_one_hash_stands_for_them(void **state)
{
    char hash[FILE_HASH_BYTES], expected[128], command[2 * PATH_BYTES];
    struct err e = {0};

    (void)state;
    write_shards();
    snprintf(command, sizeof command, "sha256sum %s/m-* | cut -d' ' -f1 | sha256sum", dir);
    run(command, expected, sizeof expected);
    for (int i = 0; i < SHARDS; i++) {
        struct model_files m;

        assert_int_equal(model_files_open(in_dir(shard_name(i + 1, SHARDS)), &m, &e), 0);
        assert_int_equal(m.n, SHARDS);
        assert_int_equal(m.facts.file_type, 15); /* the first one's facts */
        assert_string_equal(m.files[2].path, in_dir(shard_name(3, SHARDS)));
        assert_int_equal(model_files_hash(&m, hash, &e), 0);
        assert_string_equal(hash, expected);
        model_files_close(&m);
    }
    remove_shards();
}

static void shards_that_do_not_fit_together_are_refused(void **state)
{
    static const struct {
        const char *name; /* of the file that is written over a good shard; NULL: it is gone */
        struct shard shard;
        const char *says;
    } rows[] = {
        {"m-00002-of-00003.gguf", {2, 3, 3, "b"}, "split.no 2 of split.count 3, but it is named"},
        {"m-00003-of-00003.gguf", {2, 4, 3, "c"}, "split.no 2 of split.count 4, but it is named"},
        {"m-00002-of-00003.gguf", {1, 3, 4, "b"}, "split.tensors.count is 4, in the first shard 3"},
        {NULL, {0}, "m-00002-of-00003.gguf: No such file"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct model_files m;
        struct err e = {0};

        write_shards();
        if (rows[i].name)
            write_shard(rows[i].name, rows[i].shard);
        else
            unlink(in_dir(shard_name(2, SHARDS)));
        assert_true(model_files_open(in_dir(shard_name(1, SHARDS)), &m, &e) < 0);
        if (!strstr(e.text, rows[i].says))
            fail_msg("\"%s\" without \"%s\"", e.text, rows[i].says);
        remove_shards();
    }
}

static void fewer_tensors_than_all_shards_should_have_are_refused(void **state)
{
    struct model_files m;
    struct err e = {0};

    (void)state;
    for (int i = 0; i < SHARDS; i++)
        write_shard(shard_name(i + 1, SHARDS),
                    (struct shard){(uint32_t)i, SHARDS, SHARDS + 1, "a"});
    assert_int_equal(model_files_open(in_dir(shard_name(1, SHARDS)), &m, &e), ERR_CONFIG);
    assert_non_null(strstr(e.text, "shards have 3 tensors, split.tensors.count is 4"));
    remove_shards();
}

static void a_shard_under_another_name_is_refused(void **state)
{
    static const char *const names[] = {"m.gguf", "m-00001-of-00002.gguf", "m-0001-of-00003.gguf",
                                        "m-00001-of-0000x.gguf", "-00001-of-00003.gguf"};

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct model_files m;
        struct err e = {0};
        int rc;

        write_shard(names[i], (struct shard){0, SHARDS, SHARDS, "a"});
        rc = model_files_open(in_dir(names[i]), &m, &e);
        unlink(in_dir(names[i]));
        assert_true(rc < 0);
        if (names[i][0] != '-')
            assert_non_null(strstr(e.text, "NAME-00001-of-00003.gguf"));
    }
}

static void a_file_that_is_put_in_its_place_is_not_what_is_read(void **state)
{
    struct model_files m;
    struct fake_gguf g;
    char before[FILE_HASH_BYTES], after[FILE_HASH_BYTES];
    struct err e = {0};
    int again;

    (void)state;
    fake_gguf_init(&g);
    fake_gguf_write(&g, in_dir("one.gguf"));
    assert_int_equal(model_files_open(in_dir("one.gguf"), &m, &e), 0);
    assert_int_equal(model_files_hash(&m, before, &e), 0);
    unlink(in_dir("one.gguf"));
    g.version = 2;
    fake_gguf_write(&g, in_dir("one.gguf"));
    assert_int_equal(model_files_hash(&m, after, &e), 0);
    assert_string_equal(before, after);
    again = open(m.files[0].fd_path, O_RDONLY | O_CLOEXEC); /* as the library does */
    assert_int_equal(file_hash_fd(again, "again", "the model", after, &e), 0);
    assert_string_equal(before, after);
    close(again);
    model_files_close(&m);
    fake_gguf_free(&g);
    unlink(in_dir("one.gguf"));
}

static void a_file_that_is_written_meanwhile_is_noticed(void **state)
{
    struct model_files m;
    struct fake_gguf g;
    struct err e = {0};
    const struct timespec another[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
    int fd;

    (void)state;
    fake_gguf_init(&g);
    fake_gguf_write(&g, in_dir("one.gguf"));
    assert_int_equal(model_files_open(in_dir("one.gguf"), &m, &e), 0);
    assert_int_equal(model_files_unchanged(&m, &e), 0);
    fd = open(in_dir("one.gguf"), O_WRONLY | O_CLOEXEC);
    assert_int_equal(write(fd, "x", 1), 1);
    assert_int_equal(futimens(fd, another), 0); /* whatever the clock's grain */
    close(fd);
    assert_int_equal(model_files_unchanged(&m, &e), ERR_CONFIG);
    assert_non_null(strstr(e.text, "was written while it was being loaded"));
    model_files_close(&m);
    fake_gguf_free(&g);
    unlink(in_dir("one.gguf"));
}

static void what_can_not_be_opened_is_told_and_a_pipe_does_not_block(void **state)
{
    struct model_files m;
    struct err e = {0};

    (void)state;
    assert_int_equal(model_files_open(in_dir("none.gguf"), &m, &e), ERR_IO);
    assert_non_null(strstr(e.text, "none.gguf: No such file"));
    assert_int_equal(mkfifo(in_dir("pipe.gguf"), 0600), 0);
    assert_int_equal(model_files_open(in_dir("pipe.gguf"), &m, &e), ERR_CONFIG);
    assert_non_null(strstr(e.text, "is no file"));
    unlink(in_dir("pipe.gguf"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_model_of_one_file_has_that_files_hash),
        cmocka_unit_test(any_shard_leads_to_all_and_one_hash_stands_for_them),
        cmocka_unit_test(shards_that_do_not_fit_together_are_refused),
        cmocka_unit_test(fewer_tensors_than_all_shards_should_have_are_refused),
        cmocka_unit_test(a_shard_under_another_name_is_refused),
        cmocka_unit_test(a_file_that_is_put_in_its_place_is_not_what_is_read),
        cmocka_unit_test(a_file_that_is_written_meanwhile_is_noticed),
        cmocka_unit_test(what_can_not_be_opened_is_told_and_a_pipe_does_not_block),
    };

    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
