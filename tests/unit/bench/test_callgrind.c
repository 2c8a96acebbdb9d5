/* SPDX-License-Identifier: Apache-2.0 */
/* The reader of callgrind's counts: what belongs to whom, and what is counted twice in the file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "bench/callgrind.h"

static int read_text(const char *text, struct callgrind_counts *ret_counts)
{
    char path[] = "/tmp/test_callgrind_XXXXXX";
    int fd = mkstemp(path);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
    int rc;

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    rc = callgrind_read(path, "/somewhere/darkbloom-coordinator", ret_counts);
    unlink(path);
    return rc;
}

static void costs_belong_to_the_object_named_last(void **state)
{
    struct callgrind_counts c;

    (void)state;
    assert_int_equal(read_text("# callgrind format\nversion: 1\nevents: Ir\n"
                               "ob=(1) /build/darkbloom-coordinator\nfn=(1) main\n0 5\n+3 7\n"
                               "ob=(2) /usr/lib/libsodium.so.23\nfn=(2) a\n0 100\n"
                               "ob=(3) /usr/lib/libcrypto.so.3\nfn=(3) b\n* 10\n"
                               "ob=(4) /usr/lib/libsqlite3.so.0\nfn=(4) c\n-2 20\n"
                               "ob=(5) /usr/lib/libc.so.6\nfn=(5) d\n0 3\n"
                               "ob=(1)\nfn=(6) e\n0 1\ntotals: 146\n",
                               &c),
                     0);
    assert_int_equal(c.part[CALLGRIND_OURS], 13);
    assert_int_equal(c.part[CALLGRIND_CRYPTO], 110);
    assert_int_equal(c.part[CALLGRIND_SQLITE], 20);
    assert_int_equal(c.part[CALLGRIND_OTHER], 3);
    assert_int_equal(callgrind_total(&c), 146);
}

static void a_callees_cost_is_not_counted_again_at_its_caller(void **state)
{
    struct callgrind_counts c;

    (void)state;
    assert_int_equal(read_text("ob=(1) /build/darkbloom-coordinator\nfn=(1) main\n0 5\n"
                               "cob=(2) /usr/lib/libsqlite3.so.0\ncfn=(2) step\n"
                               "calls=3 0\n0 900\n0 2\n"
                               "ob=(2)\nfn=(2)\n0 900\n",
                               &c),
                     0);
    assert_int_equal(c.part[CALLGRIND_OURS], 7);
    assert_int_equal(c.part[CALLGRIND_SQLITE], 900);
}

static void a_file_without_counts_or_no_file_is_an_error(void **state)
{
    struct callgrind_counts c = {{1, 2, 3, 4}};

    (void)state;
    assert_int_equal(read_text("# callgrind format\nevents: Ir\n", &c), ERR_PARSE);
    assert_int_equal(callgrind_read("/nonexistent/callgrind.out", "x", &c), ERR_IO);
    assert_int_equal(c.part[0], 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(costs_belong_to_the_object_named_last),
        cmocka_unit_test(a_callees_cost_is_not_counted_again_at_its_caller),
        cmocka_unit_test(a_file_without_counts_or_no_file_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
