/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cpus.h"

#include <limits.h>
#include <sched.h>
#include <stdio.h>

#include "base/sysfile.h"

enum { LIST_BYTES = 4096 };

/* Of the kernel's list of ranges, "0-3,8-11"; 0 when it is not one. */
static int64_t cpus_count_ranges(struct str list)
{
    int64_t count = 0;

    while (list.n) {
        const char *comma = memchr(list.p, ',', list.n);
        struct str range = {list.p, comma ? (size_t)(comma - list.p) : list.n};
        const char *dash = memchr(range.p, '-', range.n);
        int64_t first = sysfile_leading_i64(range);
        int64_t last = first;
        size_t used;

        if (dash) {
            size_t skip = (size_t)(dash - range.p) + 1;

            last = sysfile_leading_i64((struct str){range.p + skip, range.n - skip});
        }
        if (first < 0 || last < first)
            return 0;
        count += last - first + 1;
        used = range.n + (comma ? 1 : 0);
        list = (struct str){list.p + used, list.n - used};
    }
    return count;
}

int64_t cpus_online(const char *root)
{
    char bytes[LIST_BYTES];

    return cpus_count_ranges(
        sysfile_read(root, "/sys/devices/system/cpu/online", bytes, sizeof bytes));
}

/* Whole processors that "QUOTA PERIOD" is worth; INT64_MAX for "max" and for no file. */
static int64_t cpus_granted(const char *root, struct str group)
{
    char path[PATH_MAX], bytes[64];
    size_t skip;
    int64_t period, quota;
    struct str text;
    const char *space;

    (void)snprintf(path, sizeof path, "/sys/fs/cgroup%.*s/cpu.max", STR_ARG(group));
    text = sysfile_read(root, path, bytes, sizeof bytes);
    quota = sysfile_leading_i64(text);
    space = text.n ? memchr(text.p, ' ', text.n) : NULL;
    if (quota < 0 || !space)
        return INT64_MAX;
    skip = (size_t)(space - text.p) + 1;
    period = sysfile_leading_i64((struct str){text.p + skip, text.n - skip});
    return period > 0 ? quota / period : INT64_MAX;
}

/* The least that this process's group or one around it is granted. */
static int64_t cpus_granted_by_groups(const char *root)
{
    char bytes[LIST_BYTES];
    struct str own = sysfile_read(root, "/proc/self/cgroup", bytes, sizeof bytes);
    struct str group =
        str_starts(own, STR("0::/")) ? (struct str){own.p + 3, own.n - 3} : (struct str){"", 0};
    int64_t least = INT64_MAX;

    for (;;) {
        const char *slash = group.n ? memrchr(group.p, '/', group.n) : NULL;
        int64_t n = cpus_granted(root, group);

        least = n < least ? n : least;
        if (!slash)
            return least;
        group.n = (size_t)(slash - group.p);
    }
}

int64_t cpus_usable(const char *root)
{
    cpu_set_t mask;
    int64_t n =
        sched_getaffinity(0, sizeof mask, &mask) == 0 ? CPU_COUNT(&mask) : cpus_online(root);
    int64_t most = cpus_granted_by_groups(root);

    n = most < n ? most : n;
    return n > 1 ? n : 1;
}

/* The lowest processor of the core that `cpu` belongs to; itself where the kernel does not say. */
static int cpus_first_of_core(const char *root, int cpu)
{
    char path[PATH_MAX], bytes[LIST_BYTES];
    int64_t first;

    (void)snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list",
                   cpu);
    first = sysfile_leading_i64(sysfile_read(root, path, bytes, sizeof bytes));
    return first >= 0 && first < CPU_SETSIZE ? (int)first : cpu;
}

int64_t cpus_cores(const char *root)
{
    int64_t n = cpus_usable(root), cores;
    cpu_set_t mask, firsts;

    if (sched_getaffinity(0, sizeof mask, &mask) < 0)
        return n;
    CPU_ZERO(&firsts);
    for (int i = 0; i < CPU_SETSIZE; i++) {
        if (CPU_ISSET(i, &mask))
            CPU_SET(cpus_first_of_core(root, i), &firsts);
    }
    cores = CPU_COUNT(&firsts);
    return cores < n ? cores : n;
}
