"""A query as templates see it: the fields of the messages of Go's library."""

from __future__ import annotations

from sampan.dns import codes
from sampan.dns.gotemplate_text import Thing
from sampan.dns.plugin import Query

_FLAGS = {
    "Response": codes.QR, "Authoritative": codes.AA, "Truncated": codes.TC,
    "RecursionDesired": codes.RD, "RecursionAvailable": codes.RA, "Zero": codes.Z,
    "AuthenticatedData": codes.AD, "CheckingDisabled": codes.CD,
}  # fmt: skip


def question_of(query: Query) -> Thing:
    kind, cls = codes.type_name(query.type), codes.class_name(query.cls)
    facts = {"Name": query.qname, "Qtype": query.type, "Qclass": query.cls}
    return Thing("*dns.Question", f";{query.qname}\t{cls}\t {kind}", facts)


def message_of(query: Query, question: Thing) -> Thing:
    """The query in the words of Go's library."""
    message, edns = query.message, query.edns
    head = {"Id": message.id, "Opcode": message.opcode, "Rcode": message.rcode}
    head |= {name: bool(message.flags & bit) for name, bit in _FLAGS.items()}
    opt = Thing("*dns.OPT", "", {"Do": lambda: query.do, "UDPSize": lambda: query.size})
    extra = [opt] if edns else []
    sections = {"Question": [question], "Answer": [], "Ns": [], "Extra": extra, "Compress": False}
    whole = head | sections | {"MsgHdr": Thing("dns.MsgHdr", "", head)}
    return Thing("*dns.Msg", "", whole | {"IsEdns0": lambda: opt if edns else None})
