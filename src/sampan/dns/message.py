"""A DNS message as a value and its codec: bytes to Message and back.

Names keep their case. Records keep their data as uncompressed wire bytes, so that types nobody
knows pass through unharmed; `rdata` turns them into text and back. What is not here: who may
ask what (`server`), and what fits into a datagram (`render`).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from sampan.dns import codes, names

HEADER = struct.Struct("!6H")
_QUESTION = struct.Struct("!HH")
_RECORD = struct.Struct("!HHIH")
_OPTION = struct.Struct("!HH")
FLAGS = 0x87F0
"""The bits of a header's second word that are neither opcode nor response code."""
_OPT, _EMPTY = b"\0\0\x29", b"\0\0"
_NO_RECORDS, _ONE_MORE = [0, 0, 0], [0, 0, 1]

# Where names stand in the data of the types whose names may be compressed (RFC 1035, RFC 3597
# section 4): bytes before the first name, number of names. The rest is copied.
COMPRESSED: dict[int, tuple[int, int]] = {
    codes.NS: (0, 1), 3: (0, 1), 4: (0, 1), codes.CNAME: (0, 1), codes.SOA: (0, 2), 7: (0, 1),
    8: (0, 1), 9: (0, 1), codes.PTR: (0, 1), 14: (0, 2), codes.MX: (2, 1),
}  # fmt: skip
# Types whose names some senders compress against the rules; undone on reading.
_MAY_BE_COMPRESSED = COMPRESSED | {
    codes.SRV: (6, 1), codes.DNAME: (0, 1), 17: (0, 2), 18: (2, 1), 21: (2, 1), 36: (2, 1),
}  # fmt: skip


class BadMessage(ValueError):
    """The bytes are not a DNS message. `header_only` says that nothing but a header came."""

    def __init__(
        self, text: str, *, header_only: bool = False, question: Question | None = None
    ) -> None:
        super().__init__(text)
        self.header_only = header_only
        self.question = question
        """What was read before the rest could not be."""


class Question(NamedTuple):
    name: str
    type: int
    cls: int = codes.IN


class Record(NamedTuple):
    """One resource record; `rdata` is wire form without compression."""

    name: str
    type: int
    cls: int
    ttl: int
    rdata: bytes


class Edns(NamedTuple):
    """The OPT pseudo record."""

    size: int = 1232
    flags: int = 0
    version: int = 0
    options: tuple[tuple[int, bytes], ...] = ()

    @property
    def do(self) -> bool:
        return bool(self.flags & codes.DO)


class Message(NamedTuple):
    """`flags` are the header's bits without opcode and rcode; `rcode` is the extended one."""

    id: int = 0
    flags: int = 0
    opcode: int = codes.QUERY
    rcode: int = codes.NOERROR
    question: Question | None = None
    answer: tuple[Record, ...] = ()
    authority: tuple[Record, ...] = ()
    additional: tuple[Record, ...] = ()
    edns: Edns | None = None


def parse(wire: bytes) -> Message:
    """Read a message with at most one question. Raises BadMessage."""
    if len(wire) < 12:
        raise BadMessage("shorter than a header")
    ident, bits, questions, *counts = HEADER.unpack_from(wire)
    if counts in (_NO_RECORDS, _ONE_MORE):
        plain = _plain_query(wire, ident, bits, questions, counts[2])
        if plain is not None:
            return plain
    extended, edns, sections, question = 0, None, list[tuple[Record, ...]](), None
    if len(wire) == 12 and questions:
        raise BadMessage("header without its question", header_only=True)
    try:
        question, pos = _read_question(wire, questions)
        for count in counts:
            records, opt, pos = _read_records(wire, pos, count)
            if opt is not None and edns is None:
                extended, edns = opt
            sections.append(records)
    except (names.BadName, struct.error, IndexError) as bad:
        raise BadMessage(str(bad), question=question) from bad
    except BadMessage as bad:
        bad.question = question
        raise
    answer, authority, additional = sections
    opcode, rcode = bits >> 11 & 15, bits & 15 | extended << 4
    return Message(
        ident, bits & FLAGS, opcode, rcode, question, answer, authority, additional, edns
    )


def _plain_query(wire: bytes, ident: int, bits: int, questions: int, more: int) -> Message | None:
    """What nearly every client sends: one question, and no record or an OPT without options; None
    for anything else, and for what is broken.
    """
    if questions != 1:
        return None
    try:
        name, pos = names.read_question(wire)
    except names.BadName:
        return None
    end = pos + 4
    if more and (
        len(wire) < end + 11 or wire[end : end + 3] != _OPT or wire[end + 9 : end + 11] != _EMPTY
    ):
        return None
    if not more and len(wire) < end:
        return None
    kind, cls = _QUESTION.unpack_from(wire, pos)
    edns, extended = None, 0
    if more:
        extended, version, flags = wire[end + 5], wire[end + 6], wire[end + 7] << 8 | wire[end + 8]
        edns = Edns(wire[end + 3] << 8 | wire[end + 4], flags, version)
    return Message(
        ident, bits & FLAGS, bits >> 11 & 15, bits & 15 | extended << 4, Question(name, kind, cls),
        edns=edns,
    )  # fmt: skip


def _read_question(wire: bytes, count: int) -> tuple[Question | None, int]:
    if not count:
        return None, 12
    if count > 1:
        raise BadMessage("more than one question")
    name, pos = names.read(wire, 12)
    # A message may end between the parts of its question; what is not there is nothing.
    kind, cls = (int.from_bytes(wire[at : at + 2]) for at in (pos, pos + 2))
    if len(wire) - pos in (1, 3):
        raise BadMessage("half a number")
    return Question(name, kind, cls), min(pos + 4, len(wire))


_Opt = tuple[int, Edns]
SUBNET = 8
_SIZES = {
    1: range(18, 1 << 16), 2: (4, 8), SUBNET: range(4, 1 << 16), 9: (0, 4), 11: (0, 2),
    15: range(2, 1 << 16),
}  # fmt: skip
"""Lengths that options may have: LLQ, UL, client subnet, expire, keepalive, extended error."""


def _read_records(wire: bytes, pos: int, count: int) -> tuple[tuple[Record, ...], _Opt | None, int]:
    records, edns = [], None
    for _ in range(count):
        if pos == len(wire):
            break  # counts that promise more than there is are common enough to be forgiven
        name, pos = names.read(wire, pos)
        kind, cls, ttl, size = _RECORD.unpack_from(wire, pos)
        pos += 10
        end = pos + size
        if end > len(wire):
            raise BadMessage("record runs past the message")
        if kind == codes.OPT:
            edns = edns or _read_edns(cls, ttl, wire[pos:end])
        else:
            records.append(Record(name, kind, cls, ttl, _read_rdata(wire, kind, pos, end)))
        pos = end
    return tuple(records), edns, pos


def _read_edns(size: int, ttl: int, rest: bytes) -> _Opt:
    options, pos = [], 0
    while pos + 4 <= len(rest):
        code, length = _OPTION.unpack_from(rest, pos)
        if pos + 4 + length > len(rest):
            raise BadMessage("EDNS option runs past its record")
        data = rest[pos + 4 : pos + 4 + length]
        fits = length in _SIZES[code] if code in _SIZES else True
        if not fits or (code == SUBNET and not _is_subnet(data)):
            raise BadMessage(f"EDNS option {code} is malformed")
        options.append((code, data))
        pos += 4 + length
    return ttl >> 24, Edns(size, ttl & 0xFFFF, ttl >> 16 & 255, tuple(options))


def _is_subnet(data: bytes) -> bool:
    """A family, a prefix length that fits it, and an address, of which bytes may be missing."""
    if len(data) < 4:
        return False
    longest = {0: 0, 1: 32, 2: 128}.get(int.from_bytes(data[:2]))
    return longest is not None and data[2] <= longest and (not longest or data[3] <= longest)


def _read_rdata(wire: bytes, kind: int, pos: int, end: int) -> bytes:
    shape = _MAY_BE_COMPRESSED.get(kind)
    if shape is None or pos == end:
        return wire[pos:end]
    fixed, count = shape
    out, at = wire[pos : pos + fixed], pos + fixed
    for _ in range(count):
        name, at = names.read(wire, at)
        if at > end:
            raise BadMessage("name runs past its record")
        out += names.wire(name)
    return out + wire[at:end]


def read_names(record: Record) -> list[str]:
    """The names inside a record's data: a CNAME's target, an SRV's, both of an SOA."""
    shape = _MAY_BE_COMPRESSED.get(record.type)
    if shape is None or not record.rdata:
        return []
    pos, found = shape[0], []
    for _ in range(shape[1]):
        name, pos = names.read(record.rdata, pos)
        found.append(name)
    return found


def naptr_name_at(rdata: bytes) -> int:
    """Where the name of a NAPTR record's data begins: behind two numbers and three strings."""
    pos = 4
    for _ in range(3):
        pos += 1 + rdata[pos]
    return pos


def with_names(record: Record, new: list[str]) -> Record:
    """The record with the names inside its data replaced, in order."""
    fixed, count = _MAY_BE_COMPRESSED[record.type]
    pos = fixed
    for _ in range(count):
        pos = names.read(record.rdata, pos)[1]
    data = record.rdata[:fixed] + b"".join(names.wire(n) for n in new) + record.rdata[pos:]
    return record._replace(rdata=data)


def query(name: str, kind: int, ident: int, *, edns: Edns | None = None) -> Message:
    """A question with recursion desired, as a client sends it."""
    return Message(ident, codes.RD, question=Question(name, kind), edns=edns)
