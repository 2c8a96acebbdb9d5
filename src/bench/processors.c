/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/processors.h"

#include <dirent.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int processors_first_of_core(int cpu)
{
    char path[96], text[64];
    FILE *f;
    int first = cpu;

    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", cpu);
    f = fopen(path, "re");
    if (f && fgets(text, sizeof text, f))
        first = (int)strtol(text, NULL, 10);
    if (f)
        fclose(f);
    return first;
}

void processors_look(struct processors *ret_processors)
{
    struct processors *p = ret_processors;
    bool taken[PROCESSORS_MAX] = {false};
    int later[PROCESSORS_MAX], n_later = 0;
    cpu_set_t mask;

    *p = (struct processors){.n = 0};
    if (sched_getaffinity(0, sizeof mask, &mask) < 0)
        CPU_ZERO(&mask);
    for (int i = 0; i < CPU_SETSIZE && i < PROCESSORS_MAX; i++) {
        int first;

        if (!CPU_ISSET(i, &mask))
            continue;
        first = processors_first_of_core(i);
        if (first >= 0 && first < PROCESSORS_MAX && !taken[first]) {
            taken[first] = true;
            p->at[p->n++] = i;
        } else {
            later[n_later++] = i;
        }
    }
    p->n_cores = p->n;
    for (int i = 0; i < n_later; i++)
        p->at[p->n++] = later[i];
}

void processors_take(const struct processors *p, int first, int n)
{
    cpu_set_t set;

    if (n == 0) {
        first = 0;
        n = p->n;
    }
    CPU_ZERO(&set);
    for (int i = first; i < first + n && i < p->n; i++)
        CPU_SET(p->at[i], &set);
    (void)sched_setaffinity(0, sizeof set, &set);
}

static bool processors_read_line(pid_t pid, const char *task, const char *what, char *ret_line,
                                 int cap)
{
    char path[400];
    FILE *f;
    bool ok;

    snprintf(path, sizeof path, "/proc/%d/task/%.200s/%s", (int)pid, task, what);
    f = fopen(path, "re");
    ok = f && fgets(ret_line, cap, f);
    if (f)
        fclose(f);
    if (ok)
        ret_line[strcspn(ret_line, "\n")] = '\0';
    return ok;
}

int64_t processors_thread_us(pid_t pid, const char *name)
{
    char path[64], line[64];
    int64_t total_ns = 0;
    struct dirent *entry;
    DIR *dir;

    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    dir = opendir(path);
    while (dir && (entry = readdir(dir))) {
        if (entry->d_name[0] != '.' &&
            processors_read_line(pid, entry->d_name, "comm", line, sizeof line) &&
            strcmp(line, name) == 0 &&
            processors_read_line(pid, entry->d_name, "schedstat", line, sizeof line))
            total_ns += strtoll(line, NULL, 10);
    }
    if (dir)
        closedir(dir);
    return total_ns / 1000;
}
