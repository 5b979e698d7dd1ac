"""`sampan serve-hostname`: answer with the host's name, over HTTP, plain TCP and UDP on one port.

What the articles' example image does, without an image: every pod says who it is. It starts within
milliseconds, so nothing large is imported: sockets and one selector, no framework.
"""

from __future__ import annotations

import argparse
import os
import selectors
import signal
import socket
import sys
import time

PORT = 9376
SILENCE_S = 0.2
"""A peer that says nothing for so long speaks no HTTP: it gets the bare name."""
METHODS = (b"GET ", b"HEAD ", b"POST ", b"PUT ", b"DELETE ", b"OPTIONS ", b"PATCH ")
MAX_HEAD = 65536


def run(argv: list[str]) -> int:
    """Until SIGTERM; 1 when the port cannot be had."""
    parser = argparse.ArgumentParser(
        prog="sampan serve-hostname",
        description="Answer every request with this host's name.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--port", type=int, default=PORT, help="for TCP (HTTP too) and UDP")
    parser.add_argument("--name", default="", help="answer this instead of the host's name")
    parser.add_argument("--close", action="store_true", help="close after every answer")
    options = parser.parse_args(argv)
    # As the first process of a container it would not end by default.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(0))
    name = options.name or socket.gethostname()
    try:
        server = Server(name.encode() + b"\n", options.port, close=options.close)
    except OSError as error:
        print(f"sampan serve-hostname: port {options.port}: {error.strerror}", file=sys.stderr)
        return 1
    print(f"serving {name} on port {options.port}", flush=True)
    server.serve()
    return 0


class Peer:
    """A TCP connection."""

    __slots__ = ("data", "is_http", "since", "sock")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.data = b""
        self.is_http = False
        """It has had an answer and may ask again, in its own time."""
        self.since = time.monotonic()


class Server:
    """One thread, one selector."""

    def __init__(self, answer: bytes, port: int, *, close: bool = False) -> None:
        self.answer, self.close = answer, close
        self.selector = selectors.DefaultSelector()
        self.peers: dict[int, Peer] = {}
        self.tcp = bound(socket.SOCK_STREAM, port)
        self.tcp.listen(1024)
        self.udp = bound(socket.SOCK_DGRAM, port)
        for sock in (self.tcp, self.udp):
            self.selector.register(sock, selectors.EVENT_READ)

    def serve(self) -> None:
        while True:
            fresh = any(not peer.is_http for peer in self.peers.values())
            for key, _ in self.selector.select(SILENCE_S if fresh else None):
                if key.fileobj is self.tcp:
                    self._accept()
                elif key.fileobj is self.udp:
                    self._datagram()
                else:
                    self._read(self.peers[key.fd])
            self._end_silence(time.monotonic())

    def _accept(self) -> None:
        try:
            sock, _ = self.tcp.accept()
        except OSError:
            return  # gone again already
        sock.setblocking(False)
        self.peers[sock.fileno()] = Peer(sock)
        self.selector.register(sock, selectors.EVENT_READ)

    def _datagram(self) -> None:
        try:
            _, address = self.udp.recvfrom(65536)
            self.udp.sendto(self.answer, address)
        except OSError:
            return  # the peer's port is closed: its loss

    def _read(self, peer: Peer) -> None:
        try:
            data = peer.sock.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop(peer, b"" if peer.data or peer.is_http else self.answer)
            return
        peer.data += data
        peer.since = time.monotonic()
        if not peer.data.startswith(METHODS) or len(peer.data) > MAX_HEAD:
            self._drop(peer, self.answer)
            return
        while b"\r\n\r\n" in peer.data:
            head, _, peer.data = peer.data.partition(b"\r\n\r\n")
            if not self._respond(peer, head):
                return

    def _respond(self, peer: Peer, head: bytes) -> bool:
        """Whether the connection goes on."""
        peer.is_http = True
        lower = head.lower()
        size = lower.partition(b"content-length:")[2].split(b"\r\n")[0].strip()
        peer.data = peer.data[int(size) if size.isdigit() else 0 :]
        first = head.split(b"\r\n", 1)[0]
        keep = not self.close and first.endswith(b"HTTP/1.1") and b"connection: close" not in lower
        lines = [b"HTTP/1.1 200 OK", b"Content-Type: text/plain; charset=utf-8",
                 b"Content-Length: %d" % len(self.answer)]  # fmt: skip
        if not keep:
            lines.append(b"Connection: close")
        body = b"" if first.startswith(b"HEAD ") else self.answer
        text = b"\r\n".join([*lines, b"", b""]) + body
        if not keep:
            self._drop(peer, text)
            return False
        try:
            peer.sock.sendall(text)
        except OSError:
            self._drop(peer, b"")
            return False
        return True

    def _end_silence(self, now: float) -> None:
        for peer in list(self.peers.values()):
            if not (peer.is_http or peer.data) and now - peer.since > SILENCE_S:
                self._drop(peer, self.answer)

    def _drop(self, peer: Peer, last: bytes) -> None:
        self.selector.unregister(peer.sock)
        del self.peers[peer.sock.fileno()]
        try:
            if last:
                peer.sock.sendall(last)
        except OSError:
            return
        finally:
            peer.sock.close()


def bound(kind: socket.SocketKind, port: int) -> socket.socket:
    """For both families where the machine has both."""
    try:
        sock = socket.socket(socket.AF_INET6, kind)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        address: tuple[str, int] = ("::", port)
    except OSError:
        sock, address = socket.socket(socket.AF_INET, kind), ("0.0.0.0", port)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind(address)
    except OSError:
        sock.close()
        raise
    sock.setblocking(False)
    return sock
