/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/provider/fake_root.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

void fake_root_put(const struct fake_root *r, const char *path, const char *text)
{
    char full[512];
    FILE *f;

    (void)snprintf(full, sizeof full, "%s%s", r->dir, path);
    for (char *slash = full + strlen(r->dir) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        (void)mkdir(full, 0700);
        *slash = '/';
    }
    f = fopen(full, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

int fake_root_up(void **state)
{
    static struct fake_root r;

    (void)snprintf(r.dir, sizeof r.dir, "/tmp/darkbloom-root-XXXXXX");
    assert_non_null(mkdtemp(r.dir));
    *state = &r;
    return 0;
}

int fake_root_down(void **state)
{
    const struct fake_root *r = *state;
    char command[128];

    (void)snprintf(command, sizeof command, "rm -r %s", r->dir);
    return system(command);
}
