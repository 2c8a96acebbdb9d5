/* SPDX-License-Identifier: Apache-2.0 */
/* What the coordinator knows of a provider beyond its connection: its breaker, its reputation, how
 * fast it was with each model, and whether it is distrusted. It belongs to the signing key that was
 * proven on a socket, is found again by it after a reconnect, and is saved and loaded over restarts
 * (FR-1). A provider without a proven key has a record of its own connection, which ends with it.
 *
 * The book of records belongs to the loop's thread. A record that somebody holds stays where it is;
 * of those that nobody holds, the BOOK_IDLE_MAX that were held last are kept, distrusted ones
 * longest. */
#ifndef DARKBLOOM_COORDINATOR_REGISTRY_RECORD_H
#define DARKBLOOM_COORDINATOR_REGISTRY_RECORD_H

#include "attest/trust.h"
#include "base/list.h"
#include "base/map.h"
#include "coordinator/registry/breaker.h"
#include "coordinator/registry/rates.h"

enum { RECORD_KEY_BYTES = 65, BOOK_IDLE_MAX = 100000, RECORD_MODELS_MAX = 16 };

#define RECORD_HALF_LIFE_US (INT64_C(86400) * 1000000) /* of reputation */

/* Rates with one model. */
struct record_model {
    struct record_model *next;
    struct rates rates;
    char id[];
};

struct record {
    char key[RECORD_KEY_BYTES]; /* hex SHA-256 of the proven key; "": of a connection only */
    struct breaker breaker;
    struct tally reputation; /* see record_failed_share */
    bool distrusted;
    enum trust_reason reason; /* of the distrust */
    struct record_model *models;
    size_t n_models;
    unsigned holders;       /* connections */
    struct list_node idle;  /* while nobody holds it */
    struct list_node dirty; /* while it has changes that are not saved */
    bool urgent;            /* of these some that decide who is asked */
};

struct record_book {
    struct map by_key;
    struct list_node idle, idle_distrusted; /* held longest ago first */
    size_t n_idle;
    struct list_node dirty, urgent;               /* to be saved; changed first, first */
    void (*dirtied)(void *ud);                    /* the first one joined them; may be NULL */
    void (*forgotten)(void *ud, const char *key); /* nothing is known of it any more; may be NULL */
    void *ud;
};

/* An empty record of a connection. */
void record_init(struct record *r, int64_t now_us);
/* Free what it owns. */
void record_clear(struct record *r);

void record_book_init(struct record_book *b);
void record_book_free(struct record_book *b);

/* The key's record, held once more; a new one where there is none. NULL: no memory. */
struct record *record_hold(struct record_book *b, const char *key, int64_t now_us);
/* Given back. NULL is allowed; a record without a key is left alone. */
void record_release(struct record_book *b, struct record *r);

/* Take the record of a key that nobody holds out of the book, for another one (of another loop):
 * NULL where there is none. */
struct record *record_take(struct record_book *b, const char *key);
/* Put it into that one, to be saved from there. False: it says nothing, or there is no memory; then
 * it is freed. */
bool record_adopt(struct record_book *b, struct record *r);

/* The key's record, or NULL; not held. */
struct record *record_find(const struct record_book *b, const char *key);

/* It has changed and should be saved. */
void record_touch(struct record_book *b, struct record *r, bool urgent);
/* The record that has waited longest to be saved, the urgent first; it is then clean. NULL: none.
 */
struct record *record_next_dirty(struct record_book *b);

/* The outcome of one request, for breaker and reputation. True: the breaker's state changed. */
bool record_served(struct record *r, int64_t now_us, bool probe);
bool record_failed(struct record *r, int64_t now_us, bool probe);

/* Share of answers that failed, 0..1: in the long run (half of it is forgotten in a day) and of the
 * last minutes. A key that nobody knows counts as if ten answers had been served. */
double record_failed_share(const struct record *r, int64_t now_us);
double record_failing_share(const struct record *r, int64_t now_us);

/* Its rates with the model, NULL: none were measured. */
struct rates *record_rates(const struct record *r, struct str model);
/* The same, made where there are none; NULL: no memory, or RECORD_MODELS_MAX are known. */
struct rates *record_rates_make(struct record *r, struct str model);

#endif
