/* SPDX-License-Identifier: Apache-2.0 */
/* A settings file of a program with a setting of each type. Invariants: what is refused is refused
 * in words, what is accepted is within its bounds. */
#include "fuzz/fuzz.h"
#include <stdlib.h>

#include "base/cfg.h"

enum { REGION_BYTES = 4 << 20, MIN = -5, MAX = 65535 };

struct peer {
    struct str name;
    int64_t port;
};

struct settings {
    struct str text;
    int64_t whole;
    double fraction;
    bool flag;
    int choice;
    struct cfg_list list;
    struct peer *peers;
    size_t n_peers;
};

#define AT(field) .offset = offsetof(struct settings, field)

static const char *const choices[] = {"first", "second", NULL};
static const struct cfg_key keys[] = {
    {.key = "a.text", .type = CFG_STR, AT(text), .deflt = "x", .help = ""},
    {.key = "a.whole", .type = CFG_INT, AT(whole), .min = MIN, .max = MAX, .help = ""},
    {.key = "a.fraction", .type = CFG_FLOAT, AT(fraction), .min = MIN, .max = MAX, .help = ""},
    {.key = "b.flag", .type = CFG_BOOL, AT(flag), .help = ""},
    {.key = "b.choice",
     .type = CFG_ENUM,
     AT(choice),
     .choices = choices,
     .deflt = "first",
     .help = ""},
    {.key = "b.c.list", .type = CFG_LIST, AT(list), .help = ""},
    {.key = NULL},
};
static const struct cfg_key peer_keys[] = {
    {.key = "name", .type = CFG_STR, .offset = offsetof(struct peer, name), .help = ""},
    {.key = "port", .type = CFG_INT, .offset = offsetof(struct peer, port), .max = MAX, .help = ""},
    {.key = NULL},
};
static const struct cfg_array arrays[] = {
    {.name = "peer",
     .rows = peer_keys,
     .size = sizeof(struct peer),
     .items_offset = offsetof(struct settings, peers),
     .count_offset = offsetof(struct settings, n_peers)},
    {.name = NULL},
};
static const struct cfg_table table = {.program = "fuzz", .keys = keys, .arrays = arrays};

static void check(const struct settings *s)
{
    if (s->whole < MIN || s->whole > MAX || !(s->fraction >= MIN && s->fraction <= MAX) ||
        s->choice < 0 || s->choice > 1 || !s->text.p || s->text.p[s->text.n] != 0)
        abort();
    for (size_t i = 0; i < s->n_peers; i++) {
        if (s->peers[i].port < 0 || s->peers[i].port > MAX)
            abort();
    }
    for (size_t i = 0; i < s->list.n; i++) {
        if (!s->list.items[i].p)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char program[] = "fuzz";
    char *argv[] = {program, NULL};
    const struct cfg_source src = {.table = &table, .argc = 1, .argv = argv};
    struct settings s;
    struct arena region;
    struct err e = {0};
    int rc;

    arena_init(&region, REGION_BYTES);
    rc = cfg_load(&src, (struct str){(const char *)data, size}, "fuzz.toml", &region, &s, &e);
    if (rc == 0)
        check(&s);
    else if (!e.text[0])
        abort();
    arena_free(&region);
    return 0;
}
