/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>

#include "base/err.h"
#include "docs/docs.h"

enum { LINE_MAX_BYTES = 4096 };

const struct docs_page docs_pages[] = {
    {"protocol.md", docs_protocol}, {"settings.md", docs_settings}, {"errors.md", docs_errors},
    {"log-events.md", docs_events}, {"metrics.md", docs_metrics},   {NULL, NULL}};

void page_add(struct page *p, const char *fmt, ...)
{
    char line[LINE_MAX_BYTES];
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    if (p->rc == 0)
        p->rc = n < LINE_MAX_BYTES ? buf_append(&p->out, line, (size_t)n) : ERR_LIMIT;
}
