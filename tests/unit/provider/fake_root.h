/* SPDX-License-Identifier: Apache-2.0 */
/* A machine made of files: a directory that stands before /proc and /sys. */
#ifndef DARKBLOOM_TESTS_UNIT_PROVIDER_FAKE_ROOT_H
#define DARKBLOOM_TESTS_UNIT_PROVIDER_FAKE_ROOT_H

struct fake_root {
    char dir[64];
};

/* Write a file below the root, with the directories that it needs. */
void fake_root_put(const struct fake_root *r, const char *path, const char *text);

/* cmocka set-up and tear-down; *state is a struct fake_root. */
int fake_root_up(void **state);
int fake_root_down(void **state);

#define FAKE_ROOT_TEST(name) cmocka_unit_test_setup_teardown(name, fake_root_up, fake_root_down)

#endif
