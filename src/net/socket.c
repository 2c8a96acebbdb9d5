/* SPDX-License-Identifier: Apache-2.0 */
#include "net/socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "net/loop_ops.h"

int socket_address(const char *host, uint16_t port, struct sockaddr_storage *ret_addr,
                   socklen_t *ret_len)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};

    memset(ret_addr, 0, sizeof *ret_addr);
    if (strcmp(host, "localhost") == 0)
        host = "127.0.0.1";
    if (inet_pton(AF_INET, host, &v4.sin_addr) == 1) {
        memcpy(ret_addr, &v4, sizeof v4);
        *ret_len = sizeof v4;
        return 0;
    }
    if (inet_pton(AF_INET6, host, &v6.sin6_addr) == 1) {
        memcpy(ret_addr, &v6, sizeof v6);
        *ret_len = sizeof v6;
        return 0;
    }
    return ERR_PARSE;
}

bool loop_is_address(const char *host)
{
    struct sockaddr_storage addr;
    socklen_t len;

    return socket_address(host, 0, &addr, &len) == 0;
}

/* One small answer must not wait for the next one (Nagle). */
static void socket_no_delay(int sock)
{
    int on = 1;

    (void)setsockopt(sock, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static int socket_open_listener(const struct sockaddr *addr, socklen_t len, bool shared,
                                int *ret_sock)
{
    int sock = socket(addr->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1;

    if (sock < 0)
        return -1;
    (void)setsockopt(sock, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if ((shared && setsockopt(sock, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) < 0) ||
        bind(sock, addr, len) < 0 || listen(sock, LOOP_BACKLOG) < 0) {
        int saved = errno;

        close(sock);
        errno = saved;
        return -1;
    }
    *ret_sock = sock;
    return 0;
}

int socket_listen(struct loop *l, const char *host, uint16_t port, bool shared, int *ret_sock,
                  uint16_t *ret_port, struct err *ret_err)
{
    struct sockaddr_storage addr;
    socklen_t len;

    (void)l;
    if (socket_address(host, port, &addr, &len) < 0)
        return err_set(ret_err, ERR_CONFIG,
                       "cannot listen on `%s`: give a numeric address such as 127.0.0.1", host);
    if (socket_open_listener((struct sockaddr *)&addr, len, shared, ret_sock) < 0) {
        if (errno == EADDRINUSE)
            return err_set(ret_err, ERR_IO,
                           "port %u on %s is taken by another program; stop it or choose another "
                           "port",
                           port, host);
        return err_errno(ret_err, ERR_IO, errno, "cannot listen on %s port %u", host, port);
    }
    len = sizeof addr;
    if (getsockname(*ret_sock, (struct sockaddr *)&addr, &len) == 0)
        *ret_port =
            ntohs(addr.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)(void *)&addr)->sin6_port
                                             : ((struct sockaddr_in *)(void *)&addr)->sin_port);
    return 0;
}

/* Whether a process accepts connections at the path. */
static bool socket_answers(const struct sockaddr_un *addr)
{
    int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool answers = sock >= 0 && connect(sock, (const struct sockaddr *)addr, sizeof *addr) == 0;

    if (sock >= 0)
        close(sock);
    return answers;
}

int loop_listen_path(const char *path, int *ret_sock, struct err *ret_err)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    struct stat st;
    mode_t mask;
    int rc;

    if (strlen(path) >= sizeof addr.sun_path)
        return err_set(ret_err, ERR_CONFIG, "the path of a socket has at most %zu bytes: %.100s",
                       sizeof addr.sun_path - 1, path);
    memcpy(addr.sun_path, path, strlen(path) + 1);
    if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode)) {
        if (socket_answers(&addr))
            return err_set(ret_err, ERR_BUSY, "another process listens at %.150s", path);
        (void)unlink(path);
    }
    mask = umask(0177);
    rc = socket_open_listener((struct sockaddr *)&addr, sizeof addr, false, ret_sock);
    (void)umask(mask);
    return rc < 0 ? err_errno(ret_err, ERR_IO, errno, "cannot listen at %.150s", path) : 0;
}

int socket_accept(struct loop *l, int listen_sock, char ret_peer[64])
{
    struct sockaddr_storage addr = {.ss_family = AF_UNSPEC};
    socklen_t len = sizeof addr;
    int sock;

    (void)l;
    do
        sock = accept4(listen_sock, (struct sockaddr *)&addr, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    while (sock < 0 && (errno == EINTR || errno == ECONNABORTED));
    if (sock < 0)
        return errno == EAGAIN ? ERR_AGAIN : ERR_IO;
    socket_no_delay(sock);
    if (ret_peer) {
        const void *ip = addr.ss_family == AF_INET6
                             ? (const void *)&((struct sockaddr_in6 *)(void *)&addr)->sin6_addr
                             : (const void *)&((struct sockaddr_in *)(void *)&addr)->sin_addr;

        if (addr.ss_family == AF_UNIX || !inet_ntop(addr.ss_family, ip, ret_peer, 64))
            ret_peer[0] = 0; /* a path of this machine has none */
    }
    return sock;
}

ssize_t socket_recv(struct loop *l, int sock, void *ret_bytes, size_t cap)
{
    ssize_t n;

    (void)l;
    do
        n = recv(sock, ret_bytes, cap, 0);
    while (n < 0 && errno == EINTR);
    if (n >= 0)
        return n;
    return errno == EAGAIN ? ERR_AGAIN : ERR_CLOSED;
}

ssize_t socket_sendv(struct loop *l, int sock, const struct iovec *iov, int n)
{
    struct msghdr m = {.msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)n};
    ssize_t sent;

    (void)l;
    do
        sent = sendmsg(sock, &m, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent >= 0)
        return sent;
    return errno == EAGAIN ? ERR_AGAIN : ERR_CLOSED;
}

void socket_shutdown(struct loop *l, int sock)
{
    (void)l;
    (void)shutdown(sock, SHUT_WR);
}

void socket_close(struct loop *l, int sock)
{
    (void)l;
    (void)close(sock);
}

/* --- connecting --- */

struct dial {
    struct loop_orphan orphan;
    struct loop *loop;
    struct loop_watch *watch;
    struct loop_defer later;
    int sock, error;
    loop_connect_cb *cb;
    void *ud;
};

static void socket_dial_free(struct loop_orphan *o)
{
    struct dial *d = list_owner(o, struct dial, orphan);

    list_remove(&d->orphan.link);
    loop_defer_remove(d->loop, &d->later);
    loop_watch_remove(d->watch);
    if (d->sock >= 0)
        close(d->sock);
    free(d);
}

static void socket_dial_finish(struct dial *d, int result)
{
    loop_connect_cb *cb = d->cb;
    void *ud = d->ud;

    if (result >= 0)
        d->sock = -1; /* the callback's now */
    socket_dial_free(&d->orphan);
    cb(ud, result);
}

static void socket_dial_failed_later(void *ud)
{
    struct dial *d = ud;

    socket_dial_finish(d, d->error);
}

static void socket_dial_ready(void *ud, unsigned events)
{
    struct dial *d = ud;
    int error = 0;
    socklen_t len = sizeof error;

    (void)events;
    loop_watch_remove(d->watch);
    d->watch = NULL;
    if (getsockopt(d->sock, SOL_SOCKET, SO_ERROR, &error, &len) < 0 || error != 0) {
        socket_dial_finish(d, ERR_IO);
        return;
    }
    socket_no_delay(d->sock);
    socket_dial_finish(d, d->sock);
}

static struct dial *socket_dial_new(struct loop *l, loop_connect_cb *cb, void *ud)
{
    struct dial *d = calloc(1, sizeof *d);

    if (!d)
        abort(); /* the callback must come, and there is no memory to remember it in */
    *d = (struct dial){
        .orphan = {.free = socket_dial_free}, .loop = l, .sock = -1, .cb = cb, .ud = ud};
    list_push_back(&l->orphans, &d->orphan.link);
    return d;
}

void socket_dial_failed(struct loop *l, int error, loop_connect_cb *cb, void *ud)
{
    struct dial *d = socket_dial_new(l, cb, ud);

    d->error = error;
    loop_defer_add(l, &d->later, socket_dial_failed_later, d);
}

void socket_dial(struct loop *l, const struct sockaddr *addr, socklen_t len, loop_connect_cb *cb,
                 void *ud)
{
    struct dial *d = socket_dial_new(l, cb, ud);

    d->error = ERR_IO;
    d->sock = socket(addr->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (d->sock < 0 || (connect(d->sock, addr, len) < 0 && errno != EINPROGRESS) ||
        loop_watch_add(l, d->sock, LOOP_WRITABLE, socket_dial_ready, d, &d->watch) < 0)
        loop_defer_add(l, &d->later, socket_dial_failed_later, d);
}
