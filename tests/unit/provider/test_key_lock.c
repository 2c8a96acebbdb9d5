/* SPDX-License-Identifier: Apache-2.0 */
/* One process a key. Locks of two descriptors in one process exclude each other as those of two
 * processes do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "provider/key_lock.h"

static void a_key_is_locked_until_its_process_ends(void **state)
{
    char path[] = "/tmp/darkbloom-key-XXXXXX";
    int file = mkstemp(path), first, second = -1;
    struct err err = {0};

    (void)state;
    assert_true(file >= 0);
    assert_int_equal(key_lock(path, &first, &err), 0);
    assert_int_equal(key_lock(path, &second, &err), ERR_BUSY);
    assert_non_null(strstr(err.text, path));
    assert_non_null(strstr(err.text, "--key FILE"));
    assert_int_equal(second, -1);
    close(first);
    assert_int_equal(key_lock(path, &second, &err), 0);
    close(second);
    close(file);
    unlink(path);
}

static void a_key_that_cannot_be_opened_is_an_error(void **state)
{
    int fd;
    struct err err = {0};

    (void)state;
    assert_int_equal(key_lock("/nowhere/identity.pem", &fd, &err), ERR_IO);
    assert_non_null(strstr(err.text, "/nowhere/identity.pem"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_is_locked_until_its_process_ends),
        cmocka_unit_test(a_key_that_cannot_be_opened_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
