/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of providers' proven keys, kept over reconnects and restarts (FR-1): one row a key,
 * the hex SHA-256 of the proven public key. What a row says (breaker, back-off, reputation, rates)
 * is the registry's own text, in which times are wall times that it bounds when it reads them; the
 * store adds one rule: a distrust once saved is final, whatever is saved later.
 *
 * Many rows travel in one operation. At start the registry loads page after page:
 *
 *     provider_state_load_init(&load, done);
 *     do { run it; take load.rows; } while (provider_state_load_next(&load));
 *
 * and while it runs it saves what has changed, a batch at a time:
 *
 *     provider_state_save_init(&save, done);
 *     while (a record is dirty && provider_state_add(&save.rows, &row) == 0) ;
 *     store_submit(store, &save.op); */
#ifndef DARKBLOOM_STORE_PROVIDER_STATE_H
#define DARKBLOOM_STORE_PROVIDER_STATE_H

#include "store/store.h"

enum {
    PROVIDER_STATE_KEY_BYTES = 64 + 1,
    PROVIDER_STATE_REASON_BYTES = 32,
    PROVIDER_STATE_MAX_BYTES = 16 << 10, /* of one row's text */
    PROVIDER_STATE_ROWS = 64,
    PROVIDER_STATE_TEXT_BYTES = 64 << 10, /* of all rows' texts of an operation */
};

struct provider_state_row {
    char key[PROVIDER_STATE_KEY_BYTES];
    char distrusted[PROVIDER_STATE_REASON_BYTES]; /* reason code; "": not distrusted */
    int64_t saved_wall_us;
    struct str state; /* in provider_state_rows: lies in its text */
};

/* Plain data; nothing to free. Rows point into `text`: do not copy the struct. */
struct provider_state_rows {
    size_t n;
    struct provider_state_row rows[PROVIDER_STATE_ROWS];
    size_t used;
    char text[PROVIDER_STATE_TEXT_BYTES];
};

/* Add a copy of the row. 0; ERR_LIMIT: full, save these first; ERR_RANGE: the key is not 64
 * characters long or the text longer than PROVIDER_STATE_MAX_BYTES. */
int provider_state_add(struct provider_state_rows *rows, const struct provider_state_row *row);

/* Write the rows over those of the same keys. op.rc 0 or ERR_STORE (then none is written). */
struct provider_state_save {
    struct store_op op;
    struct provider_state_rows rows;
};
void provider_state_save_init(struct provider_state_save *s, void (*done)(struct store_op *op));

/* Read one key's row (`key` set), or the next page in the order of keys. op.rc 0 or ERR_STORE. */
struct provider_state_load {
    struct store_op op;
    char key[PROVIDER_STATE_KEY_BYTES];   /* in */
    char after[PROVIDER_STATE_KEY_BYTES]; /* in: "" for the first page */
    struct provider_state_rows rows;      /* out */
    bool more;                            /* out: there is another page */
};
void provider_state_load_init(struct provider_state_load *l, void (*done)(struct store_op *op));
/* Ask for the page behind this one; false: there is none. */
bool provider_state_load_next(struct provider_state_load *l);

/* The operator forgives a key: its row's distrust is taken away. op.rc 0 or ERR_STORE. */
struct provider_state_forgive {
    struct store_op op;
    char key[PROVIDER_STATE_KEY_BYTES]; /* in */
    bool found;                         /* out: it was distrusted */
};
void provider_state_forgive_init(struct provider_state_forgive *f,
                                 void (*done)(struct store_op *op));

/* Forget rows, at most 1,000 a call: first those without distrust that were saved before
 * `before_wall_us`, then, where there are more than `max_rows`, the ones saved longest ago, the
 * distrusted last. Whoever can make keys can have as many distrusted as they like, so these are
 * bounded too. op.rc 0 or ERR_STORE. */
struct provider_state_prune {
    struct store_op op;
    int64_t before_wall_us, max_rows;
    int64_t removed; /* out */
};
void provider_state_prune_init(struct provider_state_prune *p, void (*done)(struct store_op *op));

#endif
