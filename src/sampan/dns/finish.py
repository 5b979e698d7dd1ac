"""The last step: a reply to the question as it was asked, within the size that the client takes."""

from __future__ import annotations

from collections.abc import Sequence

from sampan.dns import codes, names
from sampan.dns.message import HEADER, Edns, Message, Question, Record
from sampan.dns.plugin import Query, Reply, reply_flags
from sampan.dns.render import MAX_SIZE, render

# Options that are handed back as they came: NSID, EDNS expire, cookie, keepalive, padding.
ECHOED = frozenset((3, 9, 10, 11, 12))
# Beyond these sizes a datagram would be cut by links with usual MTUs (limits of NSD).
SQUEEZED_FOR_SIX, SQUEEZED_FOR_FOUR = 1220, 1480
_SHAPES = frozenset((codes.A, codes.AAAA, codes.MX))


def screen(wire: bytes) -> bytes | None:
    """None for a query to be parsed; else what to send at once, empty for nothing."""
    if len(wire) < 12 or wire[2] & 0x80:
        return b""
    _, bits, questions, answers, authorities, additionals = HEADER.unpack_from(wire)
    opcode = bits >> 11 & 15
    if opcode not in (codes.QUERY, codes.NOTIFY):
        return bare(wire, codes.NOTIMP, opcode)
    if questions != 1 or answers > 1 or authorities > 1 or additionals > 2:
        return bare(wire, codes.FORMERR)
    return None


def bare(wire: bytes, rcode: int, opcode: int = 0, question: Question | None = None) -> bytes:
    """No more than a header, and the question where there is one: for what could not be read."""
    ident, bits = int.from_bytes(wire[:2]), int.from_bytes(wire[2:4])
    kept = bits & (codes.TC | codes.RD | codes.RA | codes.CD | codes.AD)
    return render(Message(ident, codes.QR | kept, opcode, rcode, question))


def bad_version(message: Message) -> Message:
    flags = codes.QR | message.flags & (codes.RD | codes.CD)
    return Message(message.id, flags, 0, codes.BADVERS, message.question, edns=Edns(0, 0, 0))


def finish(query: Query, reply: Reply) -> bytes:
    """The reply to the question as it was asked, within the size that the client takes."""
    message = query.message
    # What a rule of *rewrite* made of the OPT record is what the client is said to have sent.
    asked = (reply.asked or query).edns
    edns = answer_edns(asked, reply)
    flags = reply.flags
    if not reply.made:
        flags = reply_flags(message)
    whole = Message(
        message.id, flags, message.opcode, reply.rcode, message.question,
        reply.answer, reply.authority, reply.additional, edns,
    )  # fmt: skip
    if reply.seal is not None:
        limit = MAX_SIZE if query.client.proto != "udp" else max(512, edns.size if edns else 0)
        return reply.seal.put(render(whole, limit - reply.seal.size))
    if query.client.proto != "udp":
        return render(whole, MAX_SIZE)
    limit = max(512, edns.size) if edns and asked else 512
    six = query.client.family == 2
    return render(whole, limit, squeeze_over=SQUEEZED_FOR_SIX if six else SQUEEZED_FOR_FOUR)


def question_size(query: Query, reply: Reply) -> int:
    """The length of the query as a message; options that nobody looks at do not count once its OPT
    record was taken for that of the reply.
    """
    edns, message = query.edns, query.message
    whole = reply.dropped or reply.edns is not None
    counted = [data for code, data in edns.options if whole or code in ECHOED] if edns else []
    options = sum(4 + len(data) for data in counted)
    size = 12 + len(names.wire(query.qname)) + 4 + (11 + options if edns else 0)
    return size + _records_size((*message.answer, *message.authority, *message.additional))


def reply_size(query: Query, reply: Reply) -> int:
    """The length of the reply as the plugins made it: before an OPT record is put in for the
    client, before compression, before anything is cut. Logs and counters tell it.
    """
    head = 12 + len(names.wire(query.qname)) + 4
    if reply.stream:
        return sum(head + _records_size(part) for part in reply.stream)
    size = head + sum(map(_records_size, (reply.answer, reply.authority, reply.additional)))
    if reply.edns is not None:
        size += 11 + sum(4 + len(data) for _, data in reply.edns.options)
    return size


def _records_size(records: Sequence[Record]) -> int:
    return sum(len(names.wire(one.name)) + 10 + _data_length(one) for one in records)


def _data_length(record: Record) -> int:
    """Upstream reckons keys and signatures from their base 64, in threes of bytes."""
    if record.type in (codes.DNSKEY, codes.CDNSKEY):
        binary = len(record.rdata) - 4
    elif record.type == codes.RRSIG and record.rdata:
        binary = len(record.rdata) - names.read(record.rdata, 18)[1]
    else:
        binary = 0
    return len(record.rdata) + -binary % 3


def answer_edns(asked: Edns | None, reply: Reply) -> Edns | None:
    if asked is None:
        return reply.edns
    size = min(asked.size, reply.limit) if reply.limit else asked.size
    flags = asked.flags & codes.DO
    if reply.edns is not None:
        return Edns(size, flags | reply.edns.flags & 0xFF00, 0, reply.edns.options)
    echoed = tuple(option for option in asked.options if option[0] in ECHOED)
    return Edns(size, flags, 0, echoed)


def moving_part(reply: Reply) -> list[Record]:
    """The records whose order means nothing; empty when there is nothing to reorder."""
    moving = [record for record in reply.answer if record.type in _SHAPES]
    return moving if len(moving) > 1 else []


def rotated(reply: Reply, moving: Sequence[Record], turn: int) -> Reply:
    """The reply with another address first: aliases, the rest, addresses, mail exchangers."""
    fixed = [record for record in reply.answer if record.type not in _SHAPES]
    answer = [record for record in fixed if record.type == codes.CNAME]
    answer += (record for record in fixed if record.type != codes.CNAME)
    turned = [*moving[turn:], *moving[:turn]]
    answer += (record for record in turned if record.type != codes.MX)
    answer += (record for record in turned if record.type == codes.MX)
    return reply._replace(answer=tuple(answer))
