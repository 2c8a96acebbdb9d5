/* SPDX-License-Identifier: Apache-2.0 */
/* The reference pages, in markdown, written from the tables that the programs themselves work from,
 * so that they cannot say anything else. Built, not committed: `make docs` writes build/docs/. */
#ifndef DARKBLOOM_DOCS_DOCS_H
#define DARKBLOOM_DOCS_DOCS_H

#include "base/buf.h"

/* A page under construction. The first failure sticks, and the rest writes nothing. */
struct page {
    struct buf out;
    int rc; /* 0 or ERR_LIMIT, ERR_NOMEM */
};

struct docs_page {
    const char *file; /* "protocol.md"; NULL ends the table */
    void (*write)(struct page *p);
};

extern const struct docs_page docs_pages[];

void page_add(struct page *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

void docs_protocol(struct page *p); /* wire messages and their objects */
void docs_settings(struct page *p); /* of both programs */
void docs_errors(struct page *p);   /* API errors, trust reasons */
void docs_events(struct page *p);   /* log events */
void docs_metrics(struct page *p);  /* of the coordinator */

#endif
