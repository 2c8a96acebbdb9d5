# SPDX-License-Identifier: Apache-2.0
"""port_free.py PORT: exits 0 if 127.0.0.1:PORT can be listened on, else names who holds it, if that can be seen."""
import glob
import os
import socket
import sys

LISTEN = "0A"


def listening_inodes(port):
    """Inodes of the sockets that listen on PORT, from the kernel's table."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            rows = open(table).read().splitlines()[1:]
        except OSError:
            continue
        for row in (r.split() for r in rows):
            if row[3] == LISTEN and int(row[1].rsplit(":", 1)[1], 16) == port:
                inodes.add(row[9])
    return inodes


def holder(port):
    """ "NAME (process PID)" of a process that has one of these sockets open; other users' are not visible."""
    wanted = {f"socket:[{inode}]" for inode in listening_inodes(port)}
    for fd in glob.glob("/proc/[0-9]*/fd/*"):
        try:
            if os.readlink(fd) in wanted:
                pid = fd.split("/")[2]
                return f"{open(f'/proc/{pid}/comm').read().strip()} (process {pid})"
        except OSError:
            continue
    return "another program"


def main():
    port = int(sys.argv[1])
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", port))
            s.listen()
        except PermissionError:
            sys.exit(f"port {port} may only be used by root")
        except OSError:
            sys.exit(f"port {port} is taken by {holder(port)}")


main()
