"""Names of a cluster whose replies are alike: the Services of a namespace, its pods, and the
reverse names of Services' addresses.

What becomes of a name is told without making records, of Services in `outcomes` from the very
places that `lookup` makes them of; anything else (aliases, other types) is left to the chain.
"""

from __future__ import annotations

import socket
from collections.abc import Hashable
from functools import lru_cache

from sampan.dns import codes, names
from sampan.dns.kube.model import Model
from sampan.dns.kube.options import Options
from sampan.dns.kube.outcomes import DENIED, EMPTY, ServiceNames
from sampan.dns.plugin import Family, Outcome

MOST = 4096
"""Families that are known at a time."""
OTHER = 0
"""Stands for all types that neither addresses nor ports have."""
DEEPEST = 6
"""The labels of a name before its zone, with what is behind the last dot: port, protocol, Service,
namespace, `svc`."""
Place = tuple[str, str, str, int]
"""Zone, `svc` or `pod`, namespace, type of the question; of reverse names, what they end in."""


class Families:
    """`of` gives the family that a name belongs to; it holds for as long as its namespace."""

    def __init__(self, model: Model, options: Options) -> None:
        self.model = model
        self.options = options
        self.known: dict[Place, Family | None] = {}

    def of(self, name: str, zone: str, kind: int, *, denied: bool) -> Family | None:
        """For a lower-case name below `zone` in an exposed namespace; None where the name's reply
        is no model for others.
        """
        if not denied and kind not in (codes.A, codes.AAAA, codes.SRV, codes.PTR):
            return None
        if kind == codes.PTR and not denied:
            return self._block_of(name, zone)
        labels = name[: -len(zone)].split(".") if zone != "." else name.split(".")
        if (
            len(labels) < 4
            or (len(labels) > DEEPEST and not denied)
            or labels[-2] not in ("svc", "pod")
            or "\\" in name
        ):
            return None
        sort = kind if kind in (codes.A, codes.AAAA, codes.SRV) else OTHER
        place = (zone, labels[-2], labels[-3], sort)
        if place not in self.known:
            if len(self.known) > MOST:
                self.known.clear()
            self.known[place] = self._made(*place)
        return self.known[place]

    def _block_of(self, name: str, zone: str) -> Family | None:
        """The 256 addresses that an IPv4 address is one of, by their reverse names."""
        _, _, end = name.partition(".")
        if end.count(".") != 5 or not end.endswith(".in-addr.arpa.") or self.options.namespaces:
            return None
        place = (zone, "", end, codes.PTR)
        if place not in self.known:
            if len(self.known) > MOST:
                self.known.clear()
            self.known[place] = self._block(zone, end)
        return self.known[place]

    def _block(self, zone: str, end: str) -> Family | None:
        if len(zone) > len(end) or any(other.endswith("." + end) for other in self.options.zones):
            return None
        c, b, a = end.split(".")[:3]
        services = self.model.service_ips
        dot = "" if self.options.primary == "." else self.options.primary

        def outcome(label: str, front: bytes) -> Outcome | None:
            keys = None if front else services.get(f"{a}.{b}.{c}.{label}")
            if not keys:
                return None
            namespace, name = keys[0]
            return one_answer(names.wire(f"{name}.{namespace}.svc.{dot}"))

        return Family(5, outcome, lambda label: (("ip", f"{a}.{b}.{c}.{label}"),))

    def _made(self, zone: str, branch: str, namespace: str, kind: int) -> Family | None:
        end = f"{namespace}.{branch}.{zone}" if zone != "." else f"{namespace}.{branch}."
        options = self.options
        if any(other.endswith("." + end) for other in options.zones):
            return None  # some of the names are another zone's
        labels = len(names.split(end))
        if self.options.is_multi(zone):
            return self._imports(labels, namespace) if branch == "svc" else None
        if branch == "svc":
            found = ServiceNames(self.model, options, namespace, kind, names.wire(end))
            return Family(labels, found.outcome, found.tags)
        if options.pods == "disabled":
            return None
        return self._pods(labels, namespace, kind, verified=options.pods == "verified")

    def _imports(self, labels: int, namespace: str) -> Family:
        imports = self.model.imports
        return Family(
            labels,
            lambda label, front: None if (namespace, label) in imports else DENIED,
            lambda label: (("ns", namespace), ("import", namespace, label)),
        )

    def _pods(self, labels: int, namespace: str, kind: int, *, verified: bool) -> Family:
        pods = self.model.pod_ips

        def outcome(label: str, front: bytes) -> Outcome | None:
            packed, _ = address_in(label)
            if not packed or front or kind not in (codes.A, codes.AAAA):
                return None
            text = spelled_in(label) if verified else ""
            if verified and not any(where == namespace for where, _ in pods.get(text, ())):
                return None
            return one_answer(packed) if is_of(packed, kind) else EMPTY

        def tags(label: str) -> tuple[Hashable, ...]:
            if verified:
                return ("ns", namespace), ("pod", spelled_in(label))
            return (("ns", namespace),)

        return Family(labels, outcome, tags)


def one_answer(data: bytes) -> Outcome:
    return Outcome(codes.NOERROR, (len(data).to_bytes(2) + data,))


def is_of(packed: bytes, kind: int) -> bool:
    return (len(packed) == 4) == (kind == codes.A)


MAPPED = b"\0" * 10 + b"\xff\xff"
"""What an IPv6 address begins with that stands for an IPv4 one."""


@lru_cache(maxsize=1 << 12)
def address_in(label: str) -> tuple[bytes, str]:
    """`10-0-0-7` or `fd00--7` to an address, packed and as text; empty when it spells none."""
    text = spelled_in(label)
    family = socket.AF_INET if "." in text else socket.AF_INET6
    try:
        packed = socket.inet_pton(family, text)
    except OSError:
        return b"", ""
    if packed.startswith(MAPPED):
        family, packed = socket.AF_INET, packed[len(MAPPED) :]
    return packed, socket.inet_ntop(family, packed)


def spelled_in(label: str) -> str:
    """The address as the label spells it: a pod is found only by the spelling that it has."""
    v4 = label.count("-") == 3 and "--" not in label
    return label.replace("-", "." if v4 else ":")
