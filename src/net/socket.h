/* SPDX-License-Identifier: Apache-2.0 */
/* TCP sockets of the operating system, shared by the real loops. Private to net/. */
#ifndef DARKBLOOM_NET_SOCKET_H
#define DARKBLOOM_NET_SOCKET_H

#include <netinet/in.h>

#include "net/loop.h"

int socket_listen(struct loop *l, const char *host, uint16_t port, bool shared, int *ret_sock,
                  uint16_t *ret_port, struct err *ret_err);
int socket_accept(struct loop *l, int listen_sock, char ret_peer[64]);
ssize_t socket_recv(struct loop *l, int sock, void *ret_bytes, size_t cap);
ssize_t socket_sendv(struct loop *l, int sock, const struct iovec *iov, int n);
void socket_shutdown(struct loop *l, int sock);
void socket_close(struct loop *l, int sock);

/* A numeric IPv4 or IPv6 address, or "localhost" (127.0.0.1). 0 or ERR_PARSE. */
int socket_address(const char *host, uint16_t port, struct sockaddr_storage *ret_addr,
                   socklen_t *ret_len);
/* Connect without blocking; `cb` comes later, never from inside. */
void socket_dial(struct loop *l, const struct sockaddr *addr, socklen_t len, loop_connect_cb *cb,
                 void *ud);
/* Report a failed connect later, as socket_dial would. */
void socket_dial_failed(struct loop *l, int error, loop_connect_cb *cb, void *ud);

#endif
