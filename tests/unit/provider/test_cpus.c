/* SPDX-License-Identifier: Apache-2.0 */
/* Counting processors, of machines that a test wrote and of this one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/cpus.h"
#include "unit/provider/fake_root.h"

static void the_machine_has_what_its_ranges_add_up_to(void **state)
{
    static const struct {
        const char *list;
        int64_t n;
    } cases[] = {{"0\n", 1}, {"0-3\n", 4}, {"0-3,8-11\n", 8}, {"0-3,6\n", 5}, {"3-0\n", 0}};
    const struct fake_root *r = *state;

    assert_int_equal(cpus_online(r->dir), 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fake_root_put(r, "/sys/devices/system/cpu/online", cases[i].list);
        assert_int_equal(cpus_online(r->dir), cases[i].n);
    }
}

static void a_process_has_what_its_mask_allows(void **state)
{
    const struct fake_root *r = *state;
    cpu_set_t before, one;

    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    assert_int_equal(cpus_usable(r->dir), CPU_COUNT(&before));
    CPU_ZERO(&one);
    for (int i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; i++) {
        if (CPU_ISSET(i, &before))
            CPU_SET(i, &one);
    }
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    assert_int_equal(cpus_usable(r->dir), 1);
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
}

static void a_control_group_grants_less(void **state)
{
    static const struct {
        const char *own, *around;
        bool limited;
    } cases[] = {{"max 100000\n", "max 100000\n", false},
                 {"100000 100000\n", "max 100000\n", true},
                 {"max 100000\n", "150000 100000\n", true},
                 {"50000 100000\n", "max 100000\n", true}};
    const struct fake_root *r = *state;
    int64_t all = cpus_usable(r->dir);

    fake_root_put(r, "/proc/self/cgroup", "0::/slice/unit\n");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fake_root_put(r, "/sys/fs/cgroup/slice/unit/cpu.max", cases[i].own);
        fake_root_put(r, "/sys/fs/cgroup/slice/cpu.max", cases[i].around);
        assert_int_equal(cpus_usable(r->dir), cases[i].limited ? 1 : all);
    }
}

/* All processors that this process may use are told to be two to a core. */
static void hyper_threads_are_one_core(void **state)
{
    const struct fake_root *r = *state;
    int64_t all = cpus_usable(r->dir), n = 0;
    int first = 0;
    cpu_set_t mask;

    assert_int_equal(cpus_cores(r->dir), all); /* the kernel does not say */
    assert_int_equal(sched_getaffinity(0, sizeof mask, &mask), 0);
    for (int i = 0; i < CPU_SETSIZE; i++) {
        char path[80], siblings[32];

        if (!CPU_ISSET(i, &mask))
            continue;
        first = n++ % 2 == 0 ? i : first;
        (void)snprintf(path, sizeof path,
                       "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", i);
        (void)snprintf(siblings, sizeof siblings, "%d,%d\n", first, first + 1000);
        fake_root_put(r, path, siblings);
    }
    assert_int_equal(cpus_cores(r->dir), all < (n + 1) / 2 ? all : (n + 1) / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAKE_ROOT_TEST(the_machine_has_what_its_ranges_add_up_to),
        FAKE_ROOT_TEST(a_process_has_what_its_mask_allows),
        FAKE_ROOT_TEST(a_control_group_grants_less),
        FAKE_ROOT_TEST(hyper_threads_are_one_core),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
