/* SPDX-License-Identifier: Apache-2.0 */
/* The coordinator's address, taken apart. */
#include "provider/session/url.h"

#define DEFAULT_PORT     80
#define DEFAULT_TLS_PORT 443
#define DEFAULT_PATH     STR("/ws/provider")

static int url_check_scheme(struct str text, struct err *ret_err)
{
    if (str_starts(text, STR("ws://")) || str_starts(text, STR("wss://")))
        return 0;
    return err_set(
        ret_err, ERR_CONFIG,
        "coordinator url \"%.*s\": expected ws://HOST:PORT/ws/provider, or wss:// for TLS",
        STR_ARG(text));
}

/* Where the host ends: at ']' for a bracketed IPv6 address, else at ':' or '/'. */
static size_t url_host_end(struct str s)
{
    size_t i = 0;

    if (!s.p)
        return 0;
    if (s.n > 0 && s.p[0] == '[') {
        while (i < s.n && s.p[i] != ']')
            i++;
    }
    while (i < s.n && s.p[i] != ':' && s.p[i] != '/')
        i++;
    return i;
}

static struct str url_without_brackets(struct str host)
{
    if (host.n >= 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
        return (struct str){host.p + 1, host.n - 2};
    return host;
}

static bool url_is_plain(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if ((unsigned char)s.p[i] <= ' ' || s.p[i] == 0x7f)
            return false;
    }
    return true;
}

static int url_parse_port(struct str *rest, int64_t *ret_port)
{
    struct str digits;
    size_t end = 1;

    if (!str_starts(*rest, STR(":")))
        return 0;
    while (end < rest->n && rest->p[end] != '/')
        end++;
    digits = (struct str){rest->p + 1, end - 1};
    if (str_to_i64(digits, ret_port) < 0 || *ret_port < 1 || *ret_port > 65535)
        return ERR_RANGE;
    *rest = (struct str){rest->p + end, rest->n - end};
    return 0;
}

static void url_copy(char *to, struct str s)
{
    memcpy(to, s.p, s.n);
    to[s.n] = '\0';
}

int coordinator_url_parse(struct str text, struct coordinator_url *ret_url, struct err *ret_err)
{
    int rc = url_check_scheme(text, ret_err);
    bool tls = str_starts(text, STR("wss://"));
    size_t scheme = tls ? 6 : 5, end;
    int64_t port = tls ? DEFAULT_TLS_PORT : DEFAULT_PORT;
    struct str path, host, rest;

    if (rc < 0)
        return rc;
    rest = (struct str){text.p + scheme, text.n - scheme};
    end = url_host_end(rest);
    host = url_without_brackets((struct str){rest.p, end});
    rest = (struct str){rest.p + end, rest.n - end};
    if (url_parse_port(&rest, &port) < 0)
        return err_set(ret_err, ERR_CONFIG, "coordinator url \"%.*s\": the port must be 1 to 65535",
                       STR_ARG(text));
    path = rest.n ? rest : DEFAULT_PATH;
    if (!host.n || host.n >= COORDINATOR_HOST_BYTES || path.n >= COORDINATOR_PATH_BYTES ||
        !url_is_plain(text))
        return err_set(ret_err, ERR_CONFIG,
                       "coordinator url \"%.*s\": expected ws://HOST:PORT/ws/provider without "
                       "spaces",
                       STR_ARG(text));
    url_copy(ret_url->host, host);
    url_copy(ret_url->path, path);
    ret_url->port = (uint16_t)port;
    ret_url->tls = tls;
    return 0;
}
