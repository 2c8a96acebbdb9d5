/* SPDX-License-Identifier: Apache-2.0 */
#include "base/statsd.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/metric_impl.h"
#include "base/num.h"

enum {
    LINE_BYTES = 1024,
    TAGS_BYTES = 256,
    RATE_DECIMALS = 9,
    RATE_ONE = 1000000000,
    RATE_SAMPLES_MAX = 30000 /* agents cut 1 / rate to a whole number; exact up to here */
};

struct statsd {
    int fd;
    const char *prefix;
    char tags[TAGS_BYTES]; /* of every line: "service:…,env:…" */
    const struct metric_table *table;
    int64_t *last; /* the cells as they were at the last flush */
    struct buf datagram, line;
    uint64_t lost;
};

/* --- sending --- */

static void statsd_send(struct statsd *s)
{
    struct str v = buf_view(&s->datagram);

    if (v.n > 0 && send(s->fd, v.p, v.n, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        s->lost++;
    buf_clear(&s->datagram);
}

/* The line that was built goes into the datagram, behind a newline where it is not the first. */
static void statsd_add_line(struct statsd *s, const struct writer *w)
{
    struct str line = buf_view(&s->line);

    if (w->rc == 0) {
        if (s->datagram.len + line.n + 1 > STATSD_DATAGRAM_BYTES)
            statsd_send(s);
        if (s->datagram.len > 0)
            (void)buf_append_str(&s->datagram, STR("\n")); /* the room was looked at */
        (void)buf_append_str(&s->datagram, line);
    }
    buf_clear(&s->line);
}

/* --- lines --- */

static void statsd_put_tag_text(struct writer *w, const char *text)
{
    for (; *text; text++) {
        bool plain = (*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z') ||
                     (*text >= '0' && *text <= '9') || strchr("_-./", *text);

        writer_char(w, plain ? *text : '_');
    }
}

static void statsd_put_tag(struct writer *w, const char *name, const char *text)
{
    writer_str(w, str_from(name));
    writer_char(w, ':');
    statsd_put_tag_text(w, text);
    writer_char(w, ',');
}

/* One combination of label values of a row. */
struct statsd_series {
    const struct metrics *m;
    const struct metric_row *row;
    unsigned values[METRIC_LABELS];
};

static void statsd_put_tags(const struct statsd *s, struct writer *w,
                            const struct statsd_series *series)
{
    writer_lit(w, "|#");
    for (size_t i = 0; i < METRIC_LABELS; i++) {
        unsigned label = series->row->labels[i], value = series->values[i];
        const struct metric_label *l = &s->table->labels[label];

        if (!l->name)
            continue;
        statsd_put_tag(w, l->name, metric_value_text(series->m, label, value));
        if (metric_companion_text(series->m, label, value)[0])
            statsd_put_tag(w, l->companion, metric_companion_text(series->m, label, value));
    }
    writer_str(w, str_from(s->tags));
}

/* NAME:VALUE|TYPE[|@RATE]|#TAGS; `samples` of 1 have no rate. */
static void statsd_line(struct statsd *s, const struct statsd_series *series, int64_t value,
                        const char *type, int64_t samples)
{
    struct writer w = {.out = &s->line};

    writer_str(&w, str_from(s->prefix));
    writer_str(&w, str_from(series->row->statsd));
    writer_char(&w, ':');
    writer_decimal(&w, value, series->row->statsd_decimals);
    writer_char(&w, '|');
    writer_str(&w, str_from(type));
    if (samples > 1) {
        writer_lit(&w, "|@");
        writer_decimal(&w, RATE_ONE / samples, RATE_DECIMALS);
    }
    statsd_put_tags(s, &w, series);
    statsd_add_line(s, &w);
}

/* --- what changed --- */

/* The middle of a bucket; of the last one, which has no end, where it begins. */
static int64_t statsd_middle(const struct metric_row *row, size_t bucket)
{
    int64_t from = bucket > 0 ? row->bounds[bucket - 1] : 0;

    return bucket < row->n_bounds ? from + (row->bounds[bucket] - from) / 2 : from;
}

static void statsd_samples(struct statsd *s, const struct statsd_series *series, int64_t value,
                           int64_t n)
{
    while (n > 0) {
        int64_t now = num_min(n, RATE_SAMPLES_MAX);

        statsd_line(s, series, value, "h", now);
        n -= now;
    }
}

/* `cell` and `last`: the buckets of one histogram and its sum. */
static void statsd_histogram(struct statsd *s, const struct statsd_series *series,
                             const int64_t *cell, int64_t *last)
{
    size_t n_buckets = series->row->n_bounds + 1;
    int64_t sum = metric_load(&cell[n_buckets]);
    int64_t added = sum - last[n_buckets], samples = 0;

    for (size_t i = 0; i < n_buckets; i++)
        samples += metric_load(&cell[i]) - last[i];
    for (size_t i = 0; i < n_buckets; i++) {
        int64_t count = metric_load(&cell[i]), fresh = count - last[i];
        int64_t value =
            fresh == samples && fresh > 0 ? added / fresh : statsd_middle(series->row, i);

        statsd_samples(s, series, value, fresh);
        last[i] = count;
    }
    last[n_buckets] = sum;
}

static void statsd_number(struct statsd *s, const struct statsd_series *series, const int64_t *cell,
                          int64_t *last)
{
    int64_t v = metric_load(cell);

    if (series->row->kind == METRIC_GAUGE) {
        if (v != 0 || *last != 0 || series->row->labels[0] == 0) /* what is gone says so once */
            statsd_line(s, series, v, "g", 1);
    } else if (v != *last) {
        statsd_line(s, series, v - *last, "c", 1);
    }
    *last = v;
}

static void statsd_row(struct statsd *s, const struct metrics *m, unsigned row)
{
    struct statsd_series series = {.m = m, .row = &s->table->rows[row]};
    size_t n[METRIC_LABELS] = {metric_values_now(m, series.row->labels[0]),
                               metric_values_now(m, series.row->labels[1])};

    for (unsigned a = 0; a < n[0]; a++) {
        for (unsigned b = 0; b < n[1]; b++) {
            const int64_t *cell = metric_cell_at(m, row, a, b);
            int64_t *last = &s->last[cell - m->cells];

            series.values[0] = a;
            series.values[1] = b;
            if (series.row->kind == METRIC_HISTOGRAM)
                statsd_histogram(s, &series, cell, last);
            else
                statsd_number(s, &series, cell, last);
        }
    }
}

void statsd_flush(struct statsd *s, const struct metrics *m)
{
    CHECK(m->table == s->table);
    for (unsigned row = 0; row < s->table->n_rows; row++) {
        if (s->table->rows[row].statsd)
            statsd_row(s, m, row);
    }
    statsd_send(s);
}

uint64_t statsd_lost(const struct statsd *s)
{
    return s->lost;
}

/* --- life --- */

static void statsd_make_tags(struct statsd *s, const struct statsd_config *c)
{
    const struct {
        const char *name;
        struct str value;
    } tags[] = {{"service", c->service}, {"env", c->env}, {"version", c->version}};
    struct writer w = {.out = &s->line};
    struct str text;

    for (size_t i = 0; i < sizeof tags / sizeof tags[0]; i++) {
        char value[METRIC_VALUE_BYTES];

        snprintf(value, sizeof value, "%.*s", STR_ARG(tags[i].value));
        if (value[0])
            statsd_put_tag(&w, tags[i].name, value);
    }
    text = buf_view(&s->line);
    if (text.n > 0)
        text.n--; /* the last comma */
    snprintf(s->tags, sizeof s->tags, "%.*s", STR_ARG(text));
    buf_clear(&s->line);
}

static int statsd_connect(const struct statsd_config *c, int *ret_fd, struct err *ret_err)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_DGRAM, .ai_family = AF_UNSPEC};
    struct addrinfo *found = NULL;
    char port[8];
    int rc, fd = -1;

    snprintf(port, sizeof port, "%u", c->port);
    rc = getaddrinfo(c->host, port, &hints, &found);
    if (rc != 0)
        return err_set(ret_err, ERR_IO, "the statsd host `%s` cannot be looked up: %s", c->host,
                       gai_strerror(rc));
    for (const struct addrinfo *a = found; a && fd < 0; a = a->ai_next) {
        fd = socket(a->ai_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen) < 0) {
            close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(found);
    if (fd < 0)
        return err_set(ret_err, ERR_IO, "no datagram can be sent to the statsd host `%s`", c->host);
    *ret_fd = fd;
    return 0;
}

/* As many cells as an instance of the table has. */
static int64_t *statsd_new_cells(const struct metric_table *table)
{
    struct metrics *m = metrics_new(table);
    int64_t *cells = m ? calloc(m->n_cells, sizeof *cells) : NULL;

    metrics_free(m);
    return cells;
}

int statsd_open(const struct statsd_config *config, const struct metric_table *table,
                struct statsd **ret_statsd, struct err *ret_err)
{
    struct statsd *s = calloc(1, sizeof *s);
    int rc;

    if (!s)
        return err_set(ret_err, ERR_NOMEM, "out of memory");
    s->fd = -1;
    s->prefix = config->prefix;
    s->table = table;
    s->last = statsd_new_cells(table);
    buf_init(&s->datagram, STATSD_DATAGRAM_BYTES);
    buf_init(&s->line, LINE_BYTES);
    statsd_make_tags(s, config);
    rc = s->last ? statsd_connect(config, &s->fd, ret_err)
                 : err_set(ret_err, ERR_NOMEM, "out of memory");
    if (rc < 0) {
        statsd_close(s);
        return rc;
    }
    *ret_statsd = s;
    return 0;
}

void statsd_close(struct statsd *s)
{
    if (!s)
        return;
    if (s->fd >= 0)
        close(s->fd);
    buf_free(&s->datagram);
    buf_free(&s->line);
    free(s->last);
    free(s);
}
