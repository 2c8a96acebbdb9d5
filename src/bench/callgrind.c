/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/callgrind.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

enum { OBJECTS_MAX = 256, LINE_BYTES = 8192 };

/* The file names an object once, "ob=(3) /path" or "cob=(3) /path", and later only "ob=(3)". A cost
 * line belongs to the last "ob=", except the one after "calls=", which is the callee's own cost
 * again. */
struct callgrind_reader {
    const char *program;
    unsigned char part_of[OBJECTS_MAX];
    enum callgrind_part current;
    bool is_callee_cost;
    struct callgrind_counts counts;
};

int64_t callgrind_total(const struct callgrind_counts *c)
{
    int64_t total = 0;

    for (int i = 0; i < CALLGRIND_PARTS; i++)
        total += c->part[i];
    return total;
}

static const char *callgrind_base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

static enum callgrind_part callgrind_part_of(const char *program, const char *object)
{
    const char *name = callgrind_base_name(object);

    if (strcmp(name, callgrind_base_name(program)) == 0)
        return CALLGRIND_OURS;
    if (strncmp(name, "libsqlite3", 10) == 0)
        return CALLGRIND_SQLITE;
    if (strncmp(name, "libsodium", 9) == 0 || strncmp(name, "libcrypto", 9) == 0)
        return CALLGRIND_CRYPTO;
    return CALLGRIND_OTHER;
}

/* `text` is "(3) /path" or "(3)". */
static enum callgrind_part callgrind_object(struct callgrind_reader *r, const char *text)
{
    char *end;
    unsigned long id = strtoul(text + 1, &end, 10) % OBJECTS_MAX;

    if (end[0] == ')' && end[1] == ' ')
        r->part_of[id] = (unsigned char)callgrind_part_of(r->program, end + 2);
    return r->part_of[id];
}

static void callgrind_line(struct callgrind_reader *r, char *line)
{
    line[strcspn(line, "\n")] = 0;
    if (strncmp(line, "ob=", 3) == 0) {
        r->current = callgrind_object(r, line + 3);
    } else if (strncmp(line, "cob=", 4) == 0) {
        (void)callgrind_object(r, line + 4);
    } else if (strncmp(line, "calls=", 6) == 0) {
        r->is_callee_cost = true;
    } else if (line[0] && strchr("0123456789+-*", line[0])) {
        const char *cost = strchr(line, ' ');

        if (cost && !r->is_callee_cost)
            r->counts.part[r->current] += strtoll(cost, NULL, 10);
        r->is_callee_cost = false;
    }
}

int callgrind_read(const char *path, const char *program, struct callgrind_counts *ret_counts)
{
    struct callgrind_reader r = {.program = program, .current = CALLGRIND_OTHER};
    char line[LINE_BYTES];
    FILE *f = fopen(path, "re");

    if (!f)
        return ERR_IO;
    while (fgets(line, sizeof line, f))
        callgrind_line(&r, line);
    fclose(f);
    if (callgrind_total(&r.counts) == 0)
        return ERR_PARSE;
    *ret_counts = r.counts;
    return 0;
}
