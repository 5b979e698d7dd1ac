"""What becomes of the names of a namespace's Services, in bytes and without making records.

The places are those that `lookup` makes records of, of the names that nearly all queries are for: a
Service, its ports, and endpoints. Anything else (aliases, Services without ports, large sets) is
left to the chain.
"""

from __future__ import annotations

import socket
from functools import lru_cache

from sampan.dns import codes
from sampan.dns.backend import FULL, share
from sampan.dns.kube.model import Model
from sampan.dns.kube.options import Options
from sampan.dns.kube.places import NOTHING, Front, Place, of_service
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
        asked = front_of(front) if front else NOTHING
        if asked is None or (
            (service.headless or asked.endpoint) and self.model.size((self.namespace, label)) > MOST
        ):
            return None
        found = of_service(self.model, service, asked, self.options)
        if not found or len(found) > MOST:
            return None
        try:
            return self._located(label, found) if self.kind == codes.SRV else self._addressed(found)
        except (OSError, ValueError):
            return None  # a name in an address' place, or none that fits into a label

    def tags(self, label: str) -> tuple[tuple[str, ...], ...]:
        return ("ns", self.namespace), ("svc", self.namespace, label)

    def _addressed(self, found: list[Place]) -> Outcome:
        """Each address of the type once."""
        packed = [packed_address(ip) for ip in dict.fromkeys([ip for _, ip, _ in found])]
        data = [raw for kind, raw in packed if kind == self.kind]
        return Outcome(codes.NOERROR, tuple(data)) if data else EMPTY

    def _located(self, label: str, found: list[Place]) -> Outcome | None:
        """Each port of a target once, then each address of a target."""
        name = label_bytes(label) + self.end
        weight = b"\0\0" + share(FULL * len(found)).to_bytes(2)
        answers, extras, before = list[bytes](), list[bytes](), b""
        seen: set[tuple[str, object]] = set()
        for first, ip, port in found:
            if port == -1:
                continue
            target = (label_bytes(first) if first else b"") + name
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
