/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/command/ask.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum { ANSWER_MAX_BYTES = 32 << 20, PIECE_BYTES = 64 << 10, PATIENCE_S = 30 };

int ask_add(struct buf *target, const char *name, struct str value)
{
    int rc;

    if (!value.p)
        return 0;
    rc = buf_printf(target,
                    "%c%s=", memchr(buf_view(target).p, '?', buf_view(target).n) ? '&' : '?', name);
    for (size_t i = 0; rc == 0 && i < value.n; i++) {
        unsigned char c = (unsigned char)value.p[i];

        if (isalnum(c) || c == '-' || c == '.' || c == '_' || c == '~')
            rc = buf_append(target, &value.p[i], 1);
        else
            rc = buf_printf(target, "%%%02X", c);
    }
    return rc;
}

static int ask_connect(const char *path, int *ret_sock, struct err *ret_err)
{
    const struct timeval patience = {.tv_sec = PATIENCE_S};
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int sock;

    if (path[0] == '\0')
        return err_set(ret_err, ERR_CONFIG,
                       "there is no control socket: admin.socket is `off`, or the store's path is "
                       "too long for one beside it; set admin.socket for the coordinator and here");
    snprintf(addr.sun_path, sizeof addr.sun_path, "%s", path);
    sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (sock >= 0 && connect(sock, (const struct sockaddr *)&addr, sizeof addr) == 0) {
        (void)setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        (void)setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
        *ret_sock = sock;
        return 0;
    }
    (void)err_errno(ret_err, ERR_IO, errno,
                    "no coordinator of ours answers at %.107s (start it, or give this command its "
                    "settings)",
                    path);
    if (sock >= 0)
        close(sock);
    return ERR_IO;
}

static int ask_send(int sock, struct str bytes)
{
    while (bytes.n > 0) {
        ssize_t n = send(sock, bytes.p, bytes.n, MSG_NOSIGNAL);

        if (n < 0)
            return ERR_IO;
        bytes = (struct str){bytes.p + n, bytes.n - (size_t)n};
    }
    return 0;
}

/* The whole answer: in HTTP/1.0 it ends with the connection. */
static int ask_receive(int sock, struct buf *answer)
{
    for (;;) {
        char *at = buf_reserve(answer, PIECE_BYTES);
        ssize_t n = at ? recv(sock, at, PIECE_BYTES, 0) : -1;

        if (n <= 0)
            return n < 0 ? ERR_IO : 0;
        buf_commit(answer, (size_t)n);
    }
}

/* "HTTP/1.1 200 OK", headers, an empty line, the body. */
static int ask_split(struct str answer, int64_t *ret_status, struct str *ret_body)
{
    static const char version[] = "HTTP/1.1 ";
    const size_t n = sizeof version - 1;
    const char *end = answer.n > 0 ? memmem(answer.p, answer.n, "\r\n\r\n", 4) : NULL;

    if (!end || !str_starts(answer, (struct str){version, n}) || answer.n < n + 3 ||
        str_to_i64((struct str){answer.p + n, 3}, ret_status) < 0)
        return ERR_PARSE;
    *ret_body = (struct str){end + 4, answer.n - (size_t)(end + 4 - answer.p)};
    return 0;
}

static int ask_write(int fd, struct str text, struct err *ret_err)
{
    while (text.n > 0) {
        ssize_t n = write(fd, text.p, text.n);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(ret_err, ERR_IO, errno, "the answer cannot be written");
        text = (struct str){text.p + n, text.n - (size_t)n};
    }
    return 0;
}

int ask_coordinator(const struct command_env *env, const char *method, struct str target,
                    struct err *ret_err)
{
    struct buf request, answer;
    struct str body = {NULL, 0};
    int64_t status = 0;
    int sock = -1;
    int rc = ask_connect(env->control, &sock, ret_err);

    if (rc < 0)
        return rc;
    buf_init(&request, PIECE_BYTES);
    buf_init(&answer, ANSWER_MAX_BYTES);
    rc = buf_printf(&request, "%s %.*s HTTP/1.0\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n",
                    method, STR_ARG(target));
    if (rc == 0)
        rc = ask_send(sock, buf_view(&request));
    if (rc == 0)
        rc = ask_receive(sock, &answer);
    if (rc == 0)
        rc = ask_split(buf_view(&answer), &status, &body);
    if (rc < 0)
        rc = err_set(ret_err, ERR_IO, "the coordinator's answer broke off; look at its log");
    else if (status != 200)
        rc = err_set(ret_err, ERR_DENIED, "the coordinator says %lld: %.*s", (long long)status,
                     (int)(body.n < 180 ? body.n : 180), body.p);
    else
        rc = ask_write(env->out, body, ret_err);
    close(sock);
    buf_free(&request);
    buf_free(&answer);
    return rc;
}
