/* SPDX-License-Identifier: Apache-2.0 */
/* `darkbloom-docs DIRECTORY` writes the reference pages there. A build's tool, not installed. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/err.h"
#include "docs/docs.h"

enum { PAGE_MAX_BYTES = 1 << 20, PATH_BYTES = 4096 };

static int main_write_page(const char *dir, const struct docs_page *d)
{
    struct page p = {0};
    char path[PATH_BYTES];
    FILE *f = NULL;
    bool ok;

    buf_init(&p.out, PAGE_MAX_BYTES);
    d->write(&p);
    ok = p.rc == 0 && snprintf(path, sizeof path, "%s/%s", dir, d->file) < PATH_BYTES &&
         (f = fopen(path, "we")) && fwrite(buf_view(&p.out).p, 1, p.out.len, f) == p.out.len;
    if (f && fclose(f) != 0)
        ok = false;
    if (!ok)
        (void)fprintf(stderr, "darkbloom-docs: cannot write %s/%s: %s\n", dir, d->file,
                      p.rc < 0 ? err_str(p.rc) : strerror(errno));
    buf_free(&p.out);
    return ok ? 0 : -1;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        (void)fprintf(stderr, "Usage: darkbloom-docs DIRECTORY\n");
        return 2;
    }
    if (mkdir(argv[1], 0777) < 0 && errno != EEXIST) {
        (void)fprintf(stderr, "darkbloom-docs: cannot make %s: %s\n", argv[1], strerror(errno));
        return 1;
    }
    for (const struct docs_page *d = docs_pages; d->file; d++) {
        if (main_write_page(argv[1], d) < 0)
            return 1;
    }
    return 0;
}
