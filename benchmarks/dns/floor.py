"""What the kernel alone costs: datagrams of the same sizes received and sent in the same batches,
with nothing done in between.

`python -m benchmarks.dns.floor PORT ctypes|native` answers every datagram on loopback with bytes of
its own, its ID in front, as long as a reply would be. `native` compiles a few lines of C with the
machine's compiler; without one it ends with 3.
"""

from __future__ import annotations

import ctypes
import select
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.dns.load import BATCH, DONTWAIT, SLOT, Headers
from sampan.linux.real.datagrams import bind

NAME = 32
REPLY = 90
"""About the reply to an A query with an OPT record for a Service's name."""
SOURCE = """
#define _GNU_SOURCE
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#define BATCH 64
int serve(int fd, unsigned size) {
    static char data[BATCH][4096], names[BATCH][32], controls[BATCH][96];
    struct mmsghdr headers[BATCH];
    struct iovec vectors[BATCH];
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    for (;;) {
        memset(headers, 0, sizeof headers);
        for (int i = 0; i < BATCH; i++) {
            vectors[i] = (struct iovec){data[i], sizeof data[i]};
            headers[i].msg_hdr = (struct msghdr){names[i], 32, &vectors[i], 1, controls[i], 96, 0};
        }
        int count = recvmmsg(fd, headers, BATCH, MSG_DONTWAIT, 0);
        if (count <= 0) {
            poll(&ready, 1, -1);
            continue;
        }
        for (int i = 0; i < count; i++) {
            vectors[i].iov_len = size;
            data[i][7] = 1;
            memset(controls[i] + 16, 0, 4);
        }
        for (int sent = 0, done; sent < count; sent += done > 0 ? done : 1)
            done = sendmmsg(fd, headers + sent, count - sent, MSG_DONTWAIT);
    }
}
"""


def echo(sock: socket.socket) -> None:
    """Through ctypes, with the structures made once."""
    libc, ring = ctypes.CDLL(None, use_errno=True), Headers(SLOT)
    names, controls = (ctypes.c_char * (BATCH * NAME))(), (ctypes.c_char * (BATCH * 96))()
    for i in range(BATCH):
        ring.words[8 * i] = ctypes.addressof(names) + NAME * i
        ring.words[8 * i + 1] = NAME
        ring.words[8 * i + 4] = ctypes.addressof(controls) + 96 * i
        ring.words[8 * i + 5] = 96
        ring.data[SLOT * i + 7] = 1
    fresh, interfaces = bytes(ring.headers), memoryview(controls).cast("B").cast("I")
    received = [SLOT] * BATCH
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    none = memoryview(bytes(4 * BATCH)).cast("I")
    number, lengths = sock.fileno(), ring.vector_words
    while True:
        ring.headers[:] = fresh
        for i in range(BATCH):
            lengths[2 * i + 1] = received[i]
        count = libc.recvmmsg(number, ring.at, BATCH, DONTWAIT, None)
        if count <= 0:
            poll.poll()
            continue
        interfaces[4 : 24 * count : 24] = none[:count]
        for i in range(count):
            ring.data[SLOT * i + 7] = 1
            lengths[2 * i + 1] = REPLY
        libc.sendmmsg(number, ring.at, count, DONTWAIT)


def native(sock: socket.socket) -> int:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return 3
    with tempfile.TemporaryDirectory(prefix="dns-floor-") as name:
        source, library = Path(name) / "floor.c", Path(name) / "floor.so"
        source.write_text(SOURCE)
        subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", library, source], check=True)
        loaded = ctypes.CDLL(str(library))
    return int(loaded.serve(sock.fileno(), REPLY))


def main(argv: list[str]) -> int:
    with bind("127.0.0.1", int(argv[0])) as sock:
        if argv[1] == "native":
            return native(sock)
        echo(sock)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
