"""Connection tracking over ctnetlink, raw: filtered dumps, and deletion by exact tuple."""

from __future__ import annotations

import os
import socket
import struct
import threading
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet

from sampan.linux.base.conntrack import Flow, Leading, Place

NETLINK_NETFILTER = 12
SUBSYSTEM, GET, DELETE = 1, 1, 2
REQUEST, ACK, DUMP = 0x1, 0x4, 0x300
NESTED = 0x8000
TUPLE_ORIG, TUPLE_REPLY, FILTER = 1, 2, 25
TUPLE_IP, TUPLE_PROTO = 1, 2
PROTO_NUM, PROTO_SRC, PROTO_DST = 1, 2, 3
BY_SOURCE, BY_DESTINATION, BY_PROTOCOL = 1 << 0, 1 << 1, 1 << 3
BY_SOURCE_PORT, BY_PORT = 1 << 4, 1 << 5
ONE_FAMILY = 1
"""The version of a deletion that is about the family of its header only."""
UDP = 17
PATIENCE_S = 5
FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
ADDRESSES_MATCH = (4,)
"""In IPv6 the kernel's filter by address means the opposite, 5.8 to 6.18 at least: it matches every
address but the one that is named. There only ports are filtered, and addresses looked at here.
"""


UDP_PORTS = struct.pack("=HHHHB3xHH", 28, TUPLE_PROTO | NESTED, 5, PROTO_NUM, UDP, 6, PROTO_SRC)
"""Protocol and the head of the source port, as they follow the addresses of a tuple."""


class RealConntrack:
    """Implements `Conntrack`; keeps speaking for the namespace in which it was made."""

    def __init__(self) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_NETFILTER
        )
        self._socket.bind((0, 0))
        # An answer that never comes must hold nobody up.
        patience = struct.pack("ll", PATIENCE_S, 0)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, patience)
        self._sequence = 0
        self._lock = threading.Lock()
        self._forgets = True

    def flows(
        self,
        family: int,
        *,
        destination: str = "",
        port: int = 0,
        among: AbstractSet[Place] = frozenset(),
    ) -> Iterable[Flow]:
        places = _packed(family, among)
        with self._lock:
            try:
                found = list(self._dump(family, _wanted(family, destination, port), places))
            except OSError:
                # Kernels before 5.8 know no filter: ask for all.
                found = list(self._dump(family, b"", places))
        return [
            flow
            for flow in found
            if destination in ("", flow.destination)
            and port in (0, flow.destination_port)
            and (not among or _among(flow, among))
        ]

    def delete(self, flows: Iterable[Flow]) -> int:
        count = 0
        with self._lock:
            for flow in flows:
                body = _header(flow.family) + _attribute(TUPLE_ORIG | NESTED, flow.tuple_)
                self._send((SUBSYSTEM << 8) | DELETE, REQUEST | ACK, body)
                code = self._code()
                if code == 0:
                    count += 1
        return count

    def forget(self, leading: Leading) -> bool:
        """The kernel passes over empty buckets here, where a dump locks each.

        One before 6.8 takes the incomplete tuple for an error: it never forgets all.
        """
        if not self._forgets or leading.family not in ADDRESSES_MATCH:
            return False
        header = _header(leading.family, ONE_FAMILY)
        with self._lock:
            self._send((SUBSYSTEM << 8) | DELETE, REQUEST | ACK, header + _leading(leading))
            self._forgets = self._code() == 0
        return self._forgets

    def count(self) -> int:
        # Not loaded yet, or hidden: as if there were many.
        return _limit("nf_conntrack_count", 1 << 20)

    def liberal(self) -> bool:
        return _limit("nf_conntrack_tcp_be_liberal", 0) != 0

    def tune(self, values: Mapping[str, int]) -> Mapping[str, str]:
        failed = {}
        for name, value in values.items():
            path = "/proc/sys/net/netfilter/" + name
            try:
                with open(path, encoding="ascii") as file:
                    if int(file.read()) == value:
                        continue
                with open(path, "w", encoding="ascii") as file:
                    file.write(str(value))
            except OSError as error:
                failed[name] = error.strerror or str(error)
        return failed

    def close(self) -> None:
        self._socket.close()

    def _dump(self, family: int, wanted: bytes, places: AbstractSet[bytes]) -> Iterator[Flow]:
        size = 4 if family == 4 else 16
        address = 4 + 16 + size
        # What lies between the address and the ports tells that they are where they should be.
        middle = address + size
        port = middle + 24
        self._send((SUBSYSTEM << 8) | GET, REQUEST | DUMP, _header(family) + wanted)
        for kind, payload in self._replies():
            if kind == 3:
                return
            if kind == 2:
                code = -struct.unpack_from("=i", payload)[0]
                if code:
                    raise OSError(code, os.strerror(code))
                return
            if places and payload[middle : middle + 16] == UDP_PORTS:
                number = payload[port : port + 2]
                if number not in places and payload[address:middle] + number not in places:
                    continue
            flow = _flow(family, payload[4:])
            if flow is not None:
                yield flow

    def _replies(self) -> Iterator[tuple[int, bytes]]:
        """The messages of the answer to the last request; older ones are left overs."""
        while True:
            data = self._socket.recv(1 << 17)
            start = 0
            while start + 16 <= len(data):
                length, kind, _, sequence = struct.unpack_from("=IHHI", data, start)
                if sequence == self._sequence:
                    yield kind, data[start + 16 : start + length]
                start += (length + 3) & ~3

    def _code(self) -> int:
        for kind, payload in self._replies():
            if kind == 2:
                return -int(struct.unpack_from("=i", payload)[0])
        return 0

    def _send(self, kind: int, flags: int, body: bytes) -> None:
        self._sequence += 1
        head = struct.pack("=IHHII", 16 + len(body), kind, flags, self._sequence, 0)
        self._socket.send(head + body)


def _limit(name: str, otherwise: int) -> int:
    try:
        with open("/proc/sys/net/netfilter/" + name, encoding="ascii") as file:
            return int(file.read())
    except OSError:
        return otherwise


def _header(family: int, version: int = 0) -> bytes:
    return struct.pack("=BBH", FAMILIES[family], version, 0)


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def _packed(family: int, places: AbstractSet[Place]) -> frozenset[bytes]:
    """Address and port as they lie in a tuple; the port alone where the address is any."""
    return frozenset(
        (socket.inet_pton(FAMILIES[family], ip) if ip else b"") + struct.pack("!H", port)
        for ip, port in places
    )


def _among(flow: Flow, places: AbstractSet[Place]) -> bool:
    port = flow.destination_port
    return (flow.destination, port) in places or ("", port) in places


def _wanted(family: int, destination: str, port: int) -> bytes:
    """A tuple with what must match, and the flags that say which parts those are."""
    flags, inner = _destination(family, destination, port)
    return _attribute(TUPLE_ORIG | NESTED, inner) + _filter(flags, 0)


def _leading(leading: Leading) -> bytes:
    """The same with what must match in the tuple of the answer."""
    family = leading.family
    flags, there = _destination(family, leading.destination, leading.port)
    wanted = _attribute(TUPLE_ORIG | NESTED, there)
    if not leading.answering:
        return wanted + _filter(flags, 0)
    packed = socket.inet_pton(FAMILIES[family], leading.answering)
    back = _attribute(TUPLE_IP | NESTED, _attribute(1, packed))
    proto, back_flags = _attribute(PROTO_NUM, bytes((UDP,))), BY_SOURCE | BY_PROTOCOL
    if leading.answering_port:
        back_flags |= BY_SOURCE_PORT
        proto += _attribute(PROTO_SRC, struct.pack("!H", leading.answering_port))
    back += _attribute(TUPLE_PROTO | NESTED, proto)
    return wanted + _attribute(TUPLE_REPLY | NESTED, back) + _filter(flags, back_flags)


def _destination(family: int, address: str, port: int) -> tuple[int, bytes]:
    flags = BY_PROTOCOL
    proto = _attribute(PROTO_NUM, bytes((UDP,)))
    inner = b""
    if address and family in ADDRESSES_MATCH:
        flags |= BY_DESTINATION
        packed = socket.inet_pton(FAMILIES[family], address)
        inner += _attribute(TUPLE_IP | NESTED, _attribute(2, packed))
    if port:
        flags |= BY_PORT
        proto += _attribute(PROTO_DST, struct.pack("!H", port))
    return flags, inner + _attribute(TUPLE_PROTO | NESTED, proto)


def _filter(there: int, back: int) -> bytes:
    parts = _attribute(1, struct.pack("=I", there)) + _attribute(2, struct.pack("=I", back))
    return _attribute(FILTER | NESTED, parts)


def _attributes(data: bytes) -> dict[int, bytes]:
    found = {}
    start = 0
    while start + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, start)
        if length < 4:
            break
        found[kind & 0x3FFF] = data[start + 4 : start + length]
        start += (length + 3) & ~3
    return found


def _flow(family: int, body: bytes) -> Flow | None:
    parts = _attributes(body)
    there = _tuple(family, parts.get(TUPLE_ORIG, b""))
    back = _tuple(family, parts.get(TUPLE_REPLY, b""))
    if there is None or back is None:
        return None
    return Flow(family, there[0], there[1], there[2], there[3], back[0], back[1], parts[TUPLE_ORIG])


def _tuple(family: int, data: bytes) -> tuple[str, int, str, int] | None:
    parts = _attributes(data)
    proto = _attributes(parts.get(TUPLE_PROTO, b""))
    if proto.get(PROTO_NUM, b"")[:1] != bytes((UDP,)):
        return None
    addresses = _attributes(parts.get(TUPLE_IP, b""))
    first = 1 if family == 4 else 3
    kind = FAMILIES[family]
    return (
        socket.inet_ntop(kind, addresses[first]),
        struct.unpack("!H", proto[PROTO_SRC])[0],
        socket.inet_ntop(kind, addresses[first + 1]),
        struct.unpack("!H", proto[PROTO_DST])[0],
    )
