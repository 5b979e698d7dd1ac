"""The portable receive loop: `recvmsg` and `sendmsg`, one datagram per call.

Wildcard sockets ask the kernel at which address a datagram arrived (IP_PKTINFO), so that the reply
leaves from there; without it a client with several ways to us would get replies from a stranger.
"""

from __future__ import annotations

import contextlib
import socket
import struct

from sampan.linux.base.datagrams import BATCH, NOTHING_AT_HAND, AtHand, Fast, Peer, Rows, Slow

IP_PKTINFO = 8
IPV6_RECVPKTINFO = 49
IPV6_PKTINFO = 50
IP_MTU_DISCOVER = 10
IPV6_MTU_DISCOVER = 23
PMTUDISC_DONT = 0
RECEIVE_BUFFER = 4 << 20
LONGEST_QUERY = 8192
PKTINFO = struct.Struct("=I4s4s")
PKTINFO6 = struct.Struct("=16sI")
_CONTROL = socket.CMSG_SPACE(PKTINFO.size) + socket.CMSG_SPACE(PKTINFO6.size)


def bind(host: str, port: int) -> socket.socket:
    """A UDP socket that others may share (SO_REUSEPORT); an empty host is every address of both
    families. Raises OSError.
    """
    if not host:
        with contextlib.suppress(OSError):
            return _bound(socket.AF_INET6, "::", port)
        return _bound(socket.AF_INET, "0.0.0.0", port)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return _bound(family, host, port)


def _bound(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        # A burst of queries must find room; the kernel caps this at net.core.rmem_max.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        sock.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, PMTUDISC_DONT)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(host != "::"))
            sock.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)
            sock.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, PMTUDISC_DONT)
        else:
            sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
        sock.setblocking(False)
        address = host.partition("%")
        scope = socket.if_nametoindex(address[2]) if address[2] else 0
        sock.bind((address[0], port, 0, scope) if family == socket.AF_INET6 else (host, port))
    except OSError:
        sock.close()
        raise
    return sock


def plain_address(text: str) -> str:
    """An IPv4 address that came through an IPv6 socket, as itself."""
    return text.removeprefix("::ffff:") if text.startswith("::ffff:") and "." in text else text


class PlainDatagrams:
    """One system call per datagram and direction."""

    rows: Rows | None = None

    def __init__(self, host: str, port: int) -> None:
        self._sock = bind(host, port)
        self.port: int = self._sock.getsockname()[1]

    def fileno(self) -> int:
        return self._sock.fileno()

    def drain(
        self, fast: Fast, slow: Slow, now: float = 0.0, at_hand: AtHand = NOTHING_AT_HAND
    ) -> int:
        receive, count = self._sock.recvmsg, 0
        firm, dated = at_hand[0].get, at_hand[1].get
        for count in range(BATCH):
            try:
                wire, control, _, name = receive(LONGEST_QUERY, _CONTROL)
            except (BlockingIOError, InterruptedError):
                return count
            except OSError:
                continue  # an ICMP error of an earlier reply; the next datagram is unharmed
            key = wire[2:]
            if (ready := firm(key) or dated(key)) is not None:
                ready.hits += 1
                self._send(wire[:2] + ready.first, name, control)
                continue
            reply = fast(wire)
            if reply is None:
                reply = slow(wire, self._peer(name, control))
            if reply is not None:
                self._send(reply, name, control)
        return count + 1

    def _peer(self, name: tuple[str, int], control: list[tuple[int, int, bytes]]) -> Peer:
        local = next((_local(kind, data) for _, kind, data in control), "")
        return Peer(plain_address(name[0]), name[1], local, self.port, (name, control))

    def send(self, wire: bytes, peer: Peer) -> None:
        assert isinstance(peer.back, tuple)  # our own, from _peer
        name, control = peer.back
        self._send(wire, name, control)

    def _send(
        self, wire: bytes, name: tuple[str, int], control: list[tuple[int, int, bytes]]
    ) -> None:
        with contextlib.suppress(OSError):
            self._sock.sendmsg((wire,), [_from_there(*item) for item in control], 0, name)

    def close(self) -> None:
        self._sock.close()


def _local(kind: int, data: bytes) -> str:
    if kind == IP_PKTINFO:
        return socket.inet_ntop(socket.AF_INET, PKTINFO.unpack(data)[2])
    return plain_address(socket.inet_ntop(socket.AF_INET6, PKTINFO6.unpack(data)[0]))


def _from_there(level: int, kind: int, data: bytes) -> tuple[int, int, bytes]:
    """The same control message for the way back: the source is fixed, the interface is not."""
    if kind == IP_PKTINFO:
        _, spec, dst = PKTINFO.unpack(data)
        return level, kind, PKTINFO.pack(0, dst if spec == b"\0\0\0\0" else spec, dst)
    address, interface = PKTINFO6.unpack(data)
    # A link-local source needs its interface.
    return level, kind, PKTINFO6.pack(address, interface if address[:2] == b"\xfe\x80" else 0)
