/* SPDX-License-Identifier: Apache-2.0 */
/* Small files that the kernel writes. */
#include "base/sysfile.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "base/err.h"

static struct str sysfile_trim_end(struct str s)
{
    while (s.n && (unsigned char)s.p[s.n - 1] <= ' ')
        s.n--;
    return s;
}

struct str sysfile_read_raw(const char *root, const char *path, char *ret_bytes, size_t cap)
{
    char full[PATH_MAX];
    int n = snprintf(full, sizeof full, "%s%s", root, path);
    int fd = n > 0 && (size_t)n < sizeof full ? open(full, O_RDONLY | O_CLOEXEC) : -1;
    size_t used = 0;
    ssize_t got = 1;

    if (fd < 0)
        return (struct str){0};
    while (used < cap && (got = read(fd, ret_bytes + used, cap - used)) > 0)
        used += (size_t)got;
    close(fd);
    if (got < 0)
        return (struct str){0};
    return (struct str){ret_bytes, used};
}

struct str sysfile_read(const char *root, const char *path, char *ret_bytes, size_t cap)
{
    return sysfile_trim_end(sysfile_read_raw(root, path, ret_bytes, cap));
}

int sysfile_read_i64(const char *root, const char *path, int64_t *ret_value)
{
    char bytes[64];
    struct str text = sysfile_read(root, path, bytes, sizeof bytes);

    return text.p ? str_to_i64(text, ret_value) : ERR_IO;
}

/* One line without its end; `rest` moves behind it. */
static struct str sysfile_next_line(struct str *rest)
{
    const char *end = memchr(rest->p, '\n', rest->n);
    struct str line = {rest->p, end ? (size_t)(end - rest->p) : rest->n};
    size_t skip = line.n + (end ? 1 : 0);

    *rest = (struct str){rest->p + skip, rest->n - skip};
    return line;
}

struct str sysfile_field(struct str text, const char *key)
{
    while (text.n) {
        struct str line = sysfile_next_line(&text);
        const char *colon = memchr(line.p, ':', line.n);
        size_t name_n;

        if (!colon)
            continue;
        name_n = (size_t)(colon - line.p);
        if (str_is(str_trim((struct str){line.p, name_n}), key))
            return str_trim((struct str){colon + 1, line.n - name_n - 1});
    }
    return (struct str){0};
}

int64_t sysfile_leading_i64(struct str value)
{
    size_t n = 0;
    int64_t number;

    while (n < value.n && value.p[n] >= '0' && value.p[n] <= '9')
        n++;
    return str_to_i64((struct str){value.p, n}, &number) < 0 ? -1 : number;
}
