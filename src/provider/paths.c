/* SPDX-License-Identifier: Apache-2.0 */
/* The usual places of a provider's files. */
#include "provider/paths.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TOKEN_MAX_BYTES = 4096 };

static const char *paths_set_or_null(const struct paths *p, const char *name)
{
    const char *value = p->getenv(name);

    return value && value[0] ? value : NULL;
}

/* <configuration directory>/<rest>; .p NULL where neither variable is set. */
static struct str paths_in_config_dir(const struct paths *p, const char *rest)
{
    const char *xdg = paths_set_or_null(p, "XDG_CONFIG_HOME");
    const char *home = paths_set_or_null(p, "HOME");

    if (xdg)
        return arena_printf(p->region, "%s/%s", xdg, rest);
    if (home)
        return arena_printf(p->region, "%s/.config/%s", home, rest);
    return (struct str){0};
}

static struct str paths_in_home(const struct paths *p, const char *rest)
{
    const char *home = paths_set_or_null(p, "HOME");

    return home ? arena_printf(p->region, "%s/%s", home, rest) : (struct str){0};
}

static bool paths_is_file(struct str path)
{
    struct stat st;

    return path.p && stat(path.p, &st) == 0 && S_ISREG(st.st_mode);
}

const char *const paths_config_places[] = {"darkbloom/provider.toml",
                                           "eigeninference/provider.toml", NULL};

struct str paths_config(const struct paths *p)
{
    for (size_t i = 0; paths_config_places[i]; i++) {
        struct str path = paths_in_config_dir(p, paths_config_places[i]);

        if (paths_is_file(path))
            return path;
    }
    return (struct str){0};
}

/* mkdir -p, each new directory 0700. `path` is changed and restored. */
static int paths_make_dirs(char *path)
{
    for (char *at = path + 1;; at++) {
        char was = *at;
        int rc, failed;

        if (was != '/' && was != '\0')
            continue;
        *at = '\0';
        rc = mkdir(path, 0700);
        failed = rc < 0 && errno != EEXIST ? errno : 0;
        *at = was;
        if (failed)
            return failed;
        if (!was)
            return 0;
    }
}

int paths_identity_key(const struct paths *p, struct str *ret_path, struct err *ret_err)
{
    struct str dir = paths_in_config_dir(p, "darkbloom");
    struct str path;
    char *made;
    int failed;

    if (!dir.p)
        return err_set(ret_err, ERR_CONFIG,
                       "no place for the signing key: set HOME, or name one with --key FILE");
    made = arena_alloc(p->region, dir.n + 1);
    if (!made)
        return err_set(ret_err, ERR_NOMEM, "out of memory");
    memcpy(made, dir.p, dir.n);
    failed = paths_make_dirs(made);
    if (failed)
        return err_errno(ret_err, ERR_IO, failed, "cannot make the directory %s", made);
    path = arena_printf(p->region, "%s/identity.pem", made);
    if (!path.p)
        return err_set(ret_err, ERR_NOMEM, "out of memory");
    *ret_path = path;
    return 0;
}

static int paths_check_token_file(int fd, const char *path, struct err *ret_err)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return err_errno(ret_err, ERR_IO, errno, "cannot read the account token %s", path);
    if (st.st_mode & (S_IRWXG | S_IRWXO))
        return err_set(ret_err, ERR_CONFIG,
                       "the account token %s can be read by others; run: chmod 600 %s", path, path);
    return 0;
}

static int paths_read_token(const struct paths *p, const char *path, struct str *ret_token,
                            struct err *ret_err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct str kept, token;
    ssize_t n;
    int rc;
    char bytes[TOKEN_MAX_BYTES + 1];

    if (fd < 0)
        return err_errno(ret_err, ERR_IO, errno, "cannot read the account token %s", path);
    rc = paths_check_token_file(fd, path, ret_err);
    n = rc < 0 ? 0 : read(fd, bytes, sizeof bytes);
    close(fd);
    if (rc < 0)
        return rc;
    while (n > 0 && (bytes[n - 1] == '\n' || bytes[n - 1] == '\r'))
        n--;
    token = n > 0 ? str_trim((struct str){bytes, (size_t)n}) : (struct str){0};
    if (!token.n || token.n > TOKEN_MAX_BYTES || !str_is_utf8(token))
        return err_set(ret_err, ERR_CONFIG,
                       "the account token %s must be one line of at most %d bytes", path,
                       TOKEN_MAX_BYTES);
    kept = arena_dup(p->region, token);
    if (!kept.p)
        return err_set(ret_err, ERR_NOMEM, "out of memory");
    *ret_token = kept;
    return 0;
}

int paths_auth_token(const struct paths *p, struct str path, struct str *ret_token,
                     struct err *ret_err)
{
    const struct str places[] = {paths_in_config_dir(p, "darkbloom/auth_token"),
                                 paths_in_home(p, ".darkbloom/auth_token"),
                                 paths_in_config_dir(p, "eigeninference/auth_token")};

    if (path.n)
        return paths_read_token(p, path.p, ret_token, ret_err);
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        if (paths_is_file(places[i]))
            return paths_read_token(p, places[i].p, ret_token, ret_err);
    }
    *ret_token = (struct str){0};
    return 0;
}
