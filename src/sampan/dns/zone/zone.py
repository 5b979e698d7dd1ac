"""One zone: records by name and type, ready to be looked up; never changed, only replaced."""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Iterable
from functools import cached_property

from sampan.dns import codes, names
from sampan.dns.message import Record, read_names, with_names

Node = dict[int, tuple[Record, ...]]
FOLDED = frozenset((codes.NS, codes.SOA, codes.CNAME, codes.MX))
"""Types whose names inside are folded to lower case; SRV keeps its own."""
SERVICES = frozenset((64, 65))
"""SVCB and HTTPS: their one name, which stands behind a number, is folded too."""


class BadZone(ValueError):
    """The records are no zone."""


class Zone:
    """`origin` is lower-case. The apex' SOA and NS stand apart, as every answer may need them."""

    def __init__(self, origin: str, records: Iterable[Record]) -> None:
        self.origin = origin
        self.soa: tuple[Record, ...] = ()
        self.ns: tuple[Record, ...] = ()
        self.apex_signatures: dict[int, tuple[Record, ...]] = {}
        self.nodes: dict[str, Node] = {}
        self.above: set[str] = set()
        """Names that something stands below of: the empty ones among them exist all the same."""
        for record in records:
            self._insert(_folded(record))
        for name in self.nodes:
            self._note_ancestors(name)

    def _insert(self, record: Record) -> None:
        if record.type in (codes.NSEC3, 51):
            raise BadZone(
                f"NSEC3 zone is not supported, dropping RR: {record.name} for zone: {self.origin}"
            )
        owner = record.name.lower()
        if record.type == codes.SOA:
            self.soa = (record,)
            return
        if owner == self.origin and record.type == codes.NS:
            self.ns += (record,)
            return
        covered = covered_by(record)
        if covered == codes.SOA or (covered == codes.NS and owner == self.origin):
            self.apex_signatures[covered] = (*self.apex_signatures.get(covered, ()), record)
            return
        node = self.nodes.setdefault(owner, {})
        node[record.type] = (*node.get(record.type, ()), record)

    def _note_ancestors(self, name: str) -> None:
        while name not in (self.origin, "."):
            name = names.parent(name)
            if name in self.above:
                return
            self.above.add(name)

    @property
    def serial(self) -> int:
        if not self.soa:
            return -1
        raw = self.soa[0].rdata
        serial: int = struct.unpack_from("!I", raw, len(raw) - 20)[0]
        return serial

    def times(self) -> tuple[int, int, int]:
        """Refresh, retry and expire of the SOA."""
        raw = self.soa[0].rdata
        refresh, retry, expire = struct.unpack_from("!3I", raw, len(raw) - 16)
        return refresh, retry, expire

    def apex(self, kind: int, *, signed: bool) -> tuple[Record, ...]:
        """The SOA or the NS records, with their signatures."""
        found = self.soa if kind == codes.SOA else self.ns
        return (*found, *self.apex_signatures.get(kind, ())) if signed else found

    def records(self) -> list[Record]:
        """Everything, the SOA first."""
        found = [*self.soa, *self.apex_signatures.get(codes.SOA, ()), *self.ns]
        found += self.apex_signatures.get(codes.NS, ())
        for name in self.ordered:
            for group in self.nodes[name].values():
                found += group
        return found

    @cached_property
    def ordered(self) -> list[str]:
        """The names in canonical order (RFC 4034 section 6.1)."""
        return sorted(self.nodes, key=canonical)

    def before(self, name: str) -> Node | None:
        """The node that stands before a name which is not there: its NSEC denies it."""
        at = bisect_left(self.ordered, canonical(name), key=canonical)
        if at < len(self.ordered) and self.ordered[at] == name:
            return self.nodes[name]
        return self.nodes[self.ordered[at - 1]] if at else None


def canonical(name: str) -> tuple[str, ...]:
    """A key that sorts names from the right, label by label."""
    return tuple(reversed(names.split(name.lower())))


def covered_by(record: Record) -> int:
    """The type that a signature covers; 0 for other records."""
    return int.from_bytes(record.rdata[:2]) if record.type == codes.RRSIG else 0


def signatures(node: Node, kind: int) -> tuple[Record, ...]:
    return tuple(one for one in node.get(codes.RRSIG, ()) if covered_by(one) == kind)


def _folded(record: Record) -> Record:
    if record.type != codes.SRV:
        record = record._replace(name=record.name.lower())
    if record.type in FOLDED and record.rdata:
        record = with_names(record, [name.lower() for name in read_names(record)])
    elif record.type in SERVICES and record.rdata:
        target, end = names.read(record.rdata, 2)
        data = record.rdata[:2] + names.wire(target.lower()) + record.rdata[end:]
        record = record._replace(rdata=data)
    return record
