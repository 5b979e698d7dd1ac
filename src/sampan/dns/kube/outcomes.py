"""What becomes of the names of a namespace's Services, in bytes and without making records.

It says what `lookup` and `backend` say, of the names that nearly all queries are for: a Service,
its ports, and endpoints. Anything else (aliases, Services without ports, large sets) is left to
them.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from sampan.dns import codes
from sampan.dns.kube.model import Model
from sampan.dns.kube.objects import Port, Service
from sampan.dns.kube.options import Options
from sampan.dns.plugin import Outcome

DENIED = Outcome(codes.NXDOMAIN)
EMPTY = Outcome(codes.NOERROR)
MOST = 32
"""Targets of one name; replies with more are seldom short enough to be models."""
MAX_LABEL = 63
LONGEST_NAME = 255
TYPES = {socket.AF_INET: codes.A.to_bytes(2), socket.AF_INET6: codes.AAAA.to_bytes(2)}
PLAIN = b"abcdefghijklmnopqrstuvwxyz0123456789-_"
CASED = PLAIN + b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class Front(NamedTuple):
    """What stands in front of a Service's label; empty parts match everything."""

    endpoint: str = ""
    port: str = ""
    protocol: str = ""

    def wants(self, port: Port) -> bool:
        return (not self.port or self.port == port.name) and (
            not self.protocol or self.protocol == port.protocol
        )


class Target(NamedTuple):
    """One place that a name leads to: the label of an endpoint in front of the Service's, as bytes
    with its length (empty for the Service itself), an address and a port.
    """

    label: bytes
    ip: str
    port: int


NOTHING_IN_FRONT = Front()


class ServiceNames:
    """The names below one namespace that are asked for with one type: A, AAAA or SRV; 0 for any
    other, of which no more is said than that there is no such Service.
    """

    def __init__(
        self, model: Model, options: Options, namespace: str, kind: int, end: bytes
    ) -> None:
        """`end` is what all the names end in, from the namespace's label on."""
        self.model = model
        self.options = options
        self.namespace = namespace
        self.kind = kind
        self.end = end

    def outcome(self, label: str, front: bytes) -> Outcome | None:
        service = self.model.services.get((self.namespace, label))
        if service is None:
            return DENIED
        if service.type == "ExternalName" or not self.kind:
            return None
        asked = front_of(front) if front else NOTHING_IN_FRONT
        if asked is None:
            return None
        try:
            found = self._targets(service, asked)
            if not found or len(found) > MOST:
                return None
            return self._located(label, found) if self.kind == codes.SRV else self._addressed(found)
        except (OSError, ValueError):
            return None  # a name in an address' place, or none that fits into a label

    def tags(self, label: str) -> tuple[tuple[str, ...], ...]:
        return ("ns", self.namespace), ("svc", self.namespace, label)

    def _targets(self, service: Service, asked: Front) -> list[Target]:
        """Ports of addresses for a Service, endpoints' ports for a set of them."""
        if service.headless or asked.endpoint:
            return list(self._endpoints((self.namespace, service.name), asked))
        if self.options.ignore_empty:
            return []
        return [
            Target(b"", ip, port.number)
            for port in service.ports
            if asked.wants(port)
            for ip in service.ips
        ]

    def _endpoints(self, key: tuple[str, str], asked: Front) -> Iterator[Target]:
        slices = self.model.endpoints(key)
        if sum(len(one.endpoints) for one in slices) > MOST:
            return
        for one in slices:
            ports = [port.number for port in one.ports if asked.wants(port)]
            for endpoint in one.endpoints:
                host = self.options.label_of(endpoint)
                if asked.endpoint and asked.endpoint != host.lower():
                    continue
                label = label_bytes(host)
                for port in ports:
                    yield Target(label, endpoint.ip, port)

    def _addressed(self, found: list[Target]) -> Outcome:
        """Each address of the type once."""
        six = self.kind == codes.AAAA
        packed = [packed_address(ip) for ip in dict.fromkeys([one.ip for one in found])]
        data = [raw for family, raw in packed if (family == socket.AF_INET6) == six]
        return Outcome(codes.NOERROR, tuple(data)) if data else EMPTY

    def _located(self, label: str, found: list[Target]) -> Outcome | None:
        """Each port of a target once, then each address of a target."""
        name = label_bytes(label) + self.end
        weight = max(1, int(100.0 / (100 * len(found)) * 100)).to_bytes(2)
        places = [one for one in found if one.port != -1]
        if not places or max(len(one.label) for one in places) + len(name) > LONGEST_NAME:
            return None
        answers = [
            (8 - 2 + len(target) + len(name)).to_bytes(2)
            + b"\0\0" + weight + port.to_bytes(2) + target + name
            for target, port in dict.fromkeys([(one.label, one.port) for one in places])
        ]  # fmt: skip
        extras, before = list[bytes](), b""
        for target, ip in dict.fromkeys([(one.label, one.ip) for one in places]):
            family, raw = packed_address(ip)
            extras.append(before + target + name + TYPES[family])
            before = raw
        return Outcome(codes.NOERROR, tuple(answers), (*extras, before))


@lru_cache(maxsize=1 << 10)
def front_of(wire: bytes) -> Front | None:
    """An endpoint, or a port and a protocol; None for more than that, and for labels that are no
    such names.
    """
    first = 1 + wire[0]
    label = wire[1:first].lower()
    if first == len(wire):
        return None if label.translate(None, PLAIN) else Front(label.decode())
    second = wire[first + 1 :].lower()
    if len(second) != wire[first] or (label + second).translate(None, PLAIN):
        return None
    return Front("", label.decode().removeprefix("_"), second.decode().removeprefix("_"))


def label_bytes(label: str) -> bytes:
    """A label with its length in front. Raises ValueError for what is no plain label."""
    raw = label.encode()
    if not 0 < len(raw) <= MAX_LABEL or raw.translate(None, CASED):
        raise ValueError(f"not one label: {label!r}")
    return bytes((len(raw),)) + raw


def packed_address(ip: str) -> tuple[socket.AddressFamily, bytes]:
    """An address' family, and its bytes with their length in front. Raises OSError."""
    if ":" in ip:
        return socket.AF_INET6, b"\0\x10" + socket.inet_pton(socket.AF_INET6, ip)
    return socket.AF_INET, b"\0\4" + socket.inet_pton(socket.AF_INET, ip)
