/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/bare_relay.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/child.h"

enum { EVENTS = 64, BYTES = 64 << 10, FDS_MAX = 4096, BACKLOG = 512 };

static struct sockaddr_in bare_relay_loopback(uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int bare_relay_tcp_socket(void)
{
    int on = 1, sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (sock >= 0)
        (void)setsockopt(sock, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return sock;
}

/* Who gets what a socket says. */
struct pairs {
    int peer[FDS_MAX];
};

static void bare_relay_watch(int epoll, int sock)
{
    struct epoll_event e = {.events = EPOLLIN, .data.fd = sock};

    (void)epoll_ctl(epoll, EPOLL_CTL_ADD, sock, &e);
}

static void bare_relay_take(int epoll, int listener, uint16_t upstream_port, struct pairs *pairs)
{
    struct sockaddr_in to = bare_relay_loopback(upstream_port);
    int on = 1, down = accept4(listener, NULL, NULL, SOCK_CLOEXEC), up = bare_relay_tcp_socket();

    if (down < 0 || up < 0 || down >= FDS_MAX || up >= FDS_MAX ||
        connect(up, (struct sockaddr *)&to, sizeof to) < 0) {
        close(down);
        close(up);
        return;
    }
    (void)setsockopt(down, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    pairs->peer[down] = up;
    pairs->peer[up] = down;
    bare_relay_watch(epoll, down);
    bare_relay_watch(epoll, up);
}

/* Sockets block: a reader that is slow for longer than its buffers last would stop all. */
static void bare_relay_forward(int sock, struct pairs *pairs)
{
    static char bytes[BYTES];
    ssize_t n = recv(sock, bytes, sizeof bytes, 0), sent = 0;

    for (ssize_t at = 0; n > 0 && at < n && sent >= 0; at += sent)
        sent = send(pairs->peer[sock], bytes + at, (size_t)(n - at), MSG_NOSIGNAL);
    if (n > 0 && sent >= 0)
        return;
    close(pairs->peer[sock]);
    close(sock);
}

_Noreturn static void relay(int listener, uint16_t upstream_port)
{
    struct pairs *pairs = calloc(1, sizeof *pairs);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event events[EVENTS];

    bare_relay_watch(epoll, listener);
    while (pairs) {
        int n = epoll_wait(epoll, events, EVENTS, -1);

        for (int i = 0; i < n; i++) {
            if (events[i].data.fd == listener)
                bare_relay_take(epoll, listener, upstream_port, pairs);
            else
                bare_relay_forward(events[i].data.fd, pairs);
        }
    }
    _exit(1);
}

int bare_relay_start(int core, uint16_t upstream_port, struct bare_relay *ret_relay)
{
    struct sockaddr_in at = bare_relay_loopback(0);
    socklen_t n = sizeof at;
    int listener = bare_relay_tcp_socket();
    pid_t pid;

    if (listener < 0 || bind(listener, (struct sockaddr *)&at, sizeof at) < 0 ||
        listen(listener, BACKLOG) < 0 || getsockname(listener, (struct sockaddr *)&at, &n) < 0) {
        close(listener);
        return ERR_IO;
    }
    pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)child_pin_self(core);
        relay(listener, upstream_port);
    }
    close(listener);
    if (pid < 0)
        return ERR_IO;
    *ret_relay = (struct bare_relay){pid, ntohs(at.sin_port)};
    return 0;
}

void bare_relay_stop(struct bare_relay *r)
{
    if (r->pid > 0) {
        kill(r->pid, SIGKILL);
        waitpid(r->pid, NULL, 0);
    }
    r->pid = 0;
}
