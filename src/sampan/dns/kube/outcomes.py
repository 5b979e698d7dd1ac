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
from sampan.dns.kube.objects import Port, Service, Slice
from sampan.dns.kube.options import Options
from sampan.dns.plugin import Outcome

DENIED = Outcome(codes.NXDOMAIN)
EMPTY = Outcome(codes.NOERROR)
MOST = 32
"""Targets of one name; replies with more are seldom short enough to be models."""
SRV_NUMBERS = 6
"""Bytes of priority, weight and port."""
MAX_LABEL = 63
LONGEST_NAME = 255
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


Target = tuple[bytes, str, int]
"""One place that a name leads to: the label of an endpoint in front of the Service's, as bytes with
its length (empty for the Service itself), an address and a port.
"""
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
        if asked is None or (
            self.options.ignore_empty and not service.headless and not asked.endpoint
        ):
            return None
        try:
            if self.kind == codes.SRV:
                return self._located(label, self._targets(service, asked))
            return self._addressed(self._ips(service, asked))
        except (OSError, ValueError):
            return None  # a name in an address' place, or none that fits into a label

    def tags(self, label: str) -> tuple[tuple[str, ...], ...]:
        return ("ns", self.namespace), ("svc", self.namespace, label)

    def _ips(self, service: Service, asked: Front) -> list[str]:
        if not service.headless and not asked.endpoint:
            return list(service.ips) if any(map(asked.wants, service.ports)) else []
        return [
            endpoint.ip
            for one in self._slices(service)
            if any(map(asked.wants, one.ports))
            for endpoint in one.endpoints
            if not asked.endpoint or asked.endpoint == self.options.label_of(endpoint).lower()
        ]

    def _targets(self, service: Service, asked: Front) -> list[Target]:
        """Ports of addresses for a Service, endpoints' ports for a set of them."""
        if service.headless or asked.endpoint:
            return list(self._endpoints(service, asked))
        return [
            (b"", ip, port.number)
            for port in service.ports
            if asked.wants(port)
            for ip in service.ips
        ]

    def _endpoints(self, service: Service, asked: Front) -> Iterator[Target]:
        for one in self._slices(service):
            ports = [port.number for port in one.ports if asked.wants(port)]
            for endpoint in one.endpoints:
                host = self.options.label_of(endpoint)
                if asked.endpoint and asked.endpoint != host.lower():
                    continue
                label = label_bytes(host)
                for port in ports:
                    yield label, endpoint.ip, port

    def _slices(self, service: Service) -> list[Slice]:
        """None for a set that is too large."""
        slices = self.model.endpoints((self.namespace, service.name))
        return slices if sum(len(one.endpoints) for one in slices) <= MOST else []

    def _addressed(self, ips: list[str]) -> Outcome | None:
        """Each address of the type once."""
        if not ips or len(ips) > MOST:
            return None
        packed = [packed_address(ip) for ip in dict.fromkeys(ips)]
        data = [raw for kind, raw in packed if kind == self.kind]
        return Outcome(codes.NOERROR, tuple(data)) if data else EMPTY

    def _located(self, label: str, found: list[Target]) -> Outcome | None:
        """Each port of a target once, then each address of a target."""
        if not found or len(found) > MOST:
            return None
        name = label_bytes(label) + self.end
        weight = b"\0\0" + max(1, int(100.0 / (100 * len(found)) * 100)).to_bytes(2)
        answers, extras, before = list[bytes](), list[bytes](), b""
        seen: set[tuple[bytes, object]] = set()
        for first, ip, port in found:
            if port == -1:
                continue
            target = first + name
            if len(target) > LONGEST_NAME:
                return None
            if (first, port) not in seen:
                seen.add((first, port))
                size = (SRV_NUMBERS + len(target)).to_bytes(2)
                answers.append(size + weight + port.to_bytes(2) + target)
            if (first, ip) not in seen:
                seen.add((first, ip))
                kind, raw = packed_address(ip)
                extras.append(before + target + kind.to_bytes(2))
                before = raw
        return Outcome(codes.NOERROR, tuple(answers), (*extras, before)) if answers else None


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


def packed_address(ip: str) -> tuple[int, bytes]:
    """A or AAAA, and an address' bytes with their length in front. Raises OSError."""
    if ":" in ip:
        return codes.AAAA, b"\0\x10" + socket.inet_pton(socket.AF_INET6, ip)
    return codes.A, b"\0\4" + socket.inet_pton(socket.AF_INET, ip)
