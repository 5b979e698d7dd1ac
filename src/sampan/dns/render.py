"""A message to bytes, and into a size: compression only where it is needed, then fewer records.

Upstream's habit, which clients can see in sizes: a reply that fits is sent uncompressed; one that
does not is compressed, then cut at whole records, answer before authority before additional, and
TC is set when anything is missing.
"""

from __future__ import annotations

import struct

from sampan.dns import codes, names
from sampan.dns.message import COMPRESSED, HEADER, Edns, Message, Record, naptr_name_at

MAX_SIZE = 65535
_TAIL = struct.Struct("!HHI")
_RECORD = struct.Struct("!HHIH")
_TYPE = struct.Struct("!HH")
_OPT = struct.Struct("!BHHIH")
_POINTER_REACH = 0x4000

_PLAIN = {
    17: 0, 18: 2, 21: 2, codes.SRV: 6, codes.NAPTR: 4, 36: 2, codes.DNAME: 0, codes.RRSIG: 18,
    codes.NSEC: 0, 64: 2, 65: 2,
}  # fmt: skip
"""Types whose data has a name that must not be a pointer (RFC 2782, RFC 3597), with the bytes
before it: later names may still point into it."""

Offsets = dict[str, int]


def render(message: Message, limit: int = MAX_SIZE, *, squeeze_over: int = MAX_SIZE) -> bytes:
    """The wire form within `limit` bytes; compressed when longer than `squeeze_over`."""
    plain = _plain(message)
    if len(plain) <= limit:
        return plain if len(plain) <= squeeze_over else _squeezed(message, limit)
    return _squeezed(message, limit)


def _plain(message: Message) -> bytes:
    answer, authority, additional = message[5:8]
    parts = [_header(message, (len(answer), len(authority), len(additional)))]
    if message.question:
        parts.append(_question(message))
    wire, pack = names.wire, _RECORD.pack
    for name, kind, cls, ttl, rdata in answer + authority + additional:
        parts += (wire(name), pack(kind, cls, ttl, len(rdata)), rdata)
    if message.edns is not None:
        parts.append(opt(message.edns, message.rcode))
    return b"".join(parts)


def _header(message: Message, counts: tuple[int, ...], more: int = 0) -> bytes:
    bits = message.flags | more | message.opcode << 11 | message.rcode & 15
    answers, authorities, additionals = counts
    additionals += message.edns is not None
    questions = int(message.question is not None)
    return HEADER.pack(message.id, bits, questions, answers, authorities, additionals)


def _question(message: Message) -> bytes:
    assert message.question is not None
    name, kind, cls = message.question
    return names.wire(name) + _TYPE.pack(kind, cls)


def opt(edns: Edns, rcode: int) -> bytes:
    """The OPT record."""
    if not edns.options and not edns.version and rcode < 16:
        return _OPT.pack(0, codes.OPT, edns.size, edns.flags, 0)
    options = b"".join(struct.pack("!HH", c, len(data)) + data for c, data in edns.options)
    ttl = rcode >> 4 << 24 | edns.version << 16 | edns.flags
    return _OPT.pack(0, codes.OPT, edns.size, ttl, len(options)) + options


def _squeezed(message: Message, limit: int) -> bytes:
    tail = b"" if message.edns is None else opt(message.edns, message.rcode)
    room = limit - len(tail)
    out, offsets = bytearray(12), Offsets()
    if message.question:
        out += _name(message.question.name, 12, offsets, True)
        out += struct.pack("!HH", message.question.type, message.question.cls)
    counts = [0, 0, 0]
    for number, section in enumerate(message[5:8]):
        if len(out) >= room:
            break
        for record in section:
            packed = _record(record, len(out), offsets)
            if len(out) + len(packed) > room:
                # Nothing may follow: the offsets hold names of a record that was left out.
                room = 0
                break
            out += packed
            counts[number] += 1
    cut = codes.TC if sum(counts) < sum(map(len, message[5:8])) else 0
    out[:12] = _header(message, tuple(counts), cut)
    return bytes(out) + tail


def _record(record: Record, at: int, offsets: Offsets) -> bytes:
    owner = _name(record.name, at, offsets, True)
    at += len(owner) + 10
    rdata = _rdata(record, at, offsets)
    return owner + _TAIL.pack(record.type, record.cls, record.ttl) + len(rdata).to_bytes(2) + rdata


def _rdata(record: Record, at: int, offsets: Offsets) -> bytes:
    shape = COMPRESSED.get(record.type)
    if record.type in _PLAIN and record.rdata:
        naptr = record.type == codes.NAPTR
        pos = naptr_name_at(record.rdata) if naptr else _PLAIN[record.type]
        _name(names.read(record.rdata, pos)[0], at + pos, offsets, False)
        return record.rdata
    if shape is None or not record.rdata:
        return record.rdata
    fixed, count = shape
    out, pos = record.rdata[:fixed], fixed
    for _ in range(count):
        name, pos = names.read(record.rdata, pos)
        out += _name(name, at + len(out), offsets, True)
    return out + record.rdata[pos:]


def _name(name: str, at: int, offsets: Offsets, compress: bool) -> bytes:
    """A name at offset `at`, with a pointer to the longest tail that was written before."""
    if name == ".":
        return b"\0"
    labels = names.split(name)
    out = b""
    for number, label in enumerate(labels):
        tail = ".".join(labels[number:])
        found = offsets.get(tail)
        if found is not None:
            if compress:
                return out + (0xC000 | found).to_bytes(2)
        elif at + len(out) < _POINTER_REACH:
            offsets[tail] = at + len(out)
        out += names.wire(label)[:-1]
    return out + b"\0"
