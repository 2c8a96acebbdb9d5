/* SPDX-License-Identifier: Apache-2.0 */
/* docs/internals/findings.md names a test for each finding, and each of them exists. */
#include <ctype.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buf.h"

enum { TESTS_MAX_BYTES = 32 << 20, PAGE_MAX_BYTES = 1 << 20, DEPTH = 16, NAME_BYTES = 160 };

static void read_file(const char *path, struct buf *out)
{
    char bytes[4096];
    size_t n;
    FILE *f = fopen(path, "r");

    assert_non_null(f);
    while ((n = fread(bytes, 1, sizeof bytes, f)) > 0)
        assert_int_equal(buf_append(out, bytes, n), 0);
    (void)fclose(f);
}

static struct buf tests; /* the text of all of them; nftw hands nothing through */

static bool is_test(const char *path)
{
    size_t n = strlen(path);

    return strstr(path, "/test_") && n > 3 &&
           (strcmp(path + n - 2, ".c") == 0 || strcmp(path + n - 3, ".py") == 0);
}

static int visit(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)at;
    if (type == FTW_F && is_test(path))
        read_file(path, &tests);
    return 0;
}

static bool is_defined(struct str name)
{
    struct str all = buf_view(&tests);
    char c[NAME_BYTES], python[NAME_BYTES];
    int c_n = snprintf(c, sizeof c, "\nstatic void %.*s(", STR_ARG(name));
    int python_n = snprintf(python, sizeof python, "\ndef %.*s(", STR_ARG(name));

    assert_true(c_n > 0 && c_n < NAME_BYTES && python_n > 0);
    return memmem(all.p, all.n, c, (size_t)c_n) || memmem(all.p, all.n, python, (size_t)python_n);
}

/* The names of tests in the last column of a row; returns how many. */
static size_t check_row(struct str row)
{
    const char *end = row.p + row.n, *at = memrchr(row.p, '|', row.n - 1);
    size_t n = 0;

    assert_non_null(at);
    while ((at = memchr(at, '`', (size_t)(end - at)))) {
        const char *close = memchr(at + 1, '`', (size_t)(end - at - 1));
        struct str name = {at + 1, (size_t)(close - at - 1)};

        assert_non_null(close);
        if (!is_defined(name))
            fail_msg("there is no test %.*s", STR_ARG(name));
        n++;
        at = close + 1;
    }
    return n;
}

static bool is_finding(struct str row, char kind, int *ret_number)
{
    if (row.n < 5 || row.p[0] != '|' || row.p[2] != kind || !isdigit((unsigned char)row.p[3]))
        return false;
    *ret_number = (int)strtol(row.p + 3, NULL, 10);
    return true;
}

/* R1 to R18 and L1 to L11, in order, and none without a test. */
static void each_finding_has_tests_that_exist(void **state)
{
    struct buf page;
    struct str rest;
    int r = 0, l = 0, number;
    (void)state;

    buf_init(&tests, TESTS_MAX_BYTES);
    buf_init(&page, PAGE_MAX_BYTES);
    assert_int_equal(nftw(TEST_SOURCE_DIR "/tests", visit, DEPTH, FTW_PHYS), 0);
    read_file(TEST_SOURCE_DIR "/docs/internals/findings.md", &page);
    for (rest = buf_view(&page); rest.n > 0;) {
        const char *nl = memchr(rest.p, '\n', rest.n);
        struct str row = {rest.p, (size_t)(nl - rest.p)};
        bool of_r = is_finding(row, 'R', &number) && number == r + 1;
        bool of_l = is_finding(row, 'L', &number) && number == l + 1;

        assert_non_null(nl);
        r += of_r;
        l += of_l;
        if (row.n > 1 && row.p[0] == '|' && check_row(row) == 0 && (of_r || of_l))
            fail_msg("no test in %.*s", STR_ARG(row));
        rest = (struct str){nl + 1, rest.n - row.n - 1};
    }
    assert_int_equal(r, 18);
    assert_int_equal(l, 11);
    buf_free(&page);
    buf_free(&tests);
}

int main(void)
{
    const struct CMUnitTest tests_here[] = {
        cmocka_unit_test(each_finding_has_tests_that_exist),
    };

    return cmocka_run_group_tests(tests_here, NULL, NULL);
}
