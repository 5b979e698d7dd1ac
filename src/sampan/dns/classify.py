"""What kind of answer a reply is: what `cache` keeps it by and `log` chooses lines by."""

from __future__ import annotations

from sampan.dns import codes
from sampan.dns.plugin import Query, Reply

SUCCESS, NXDOMAIN, NODATA, DELEGATION = "NOERROR", "NXDOMAIN", "NODATA", "DELEGATION"
SERVER_ERROR, OTHER, META = "SERVERERROR", "OTHERERROR", "META"

CLASSES = {
    SUCCESS: "success",
    DELEGATION: "success",
    NXDOMAIN: "denial",
    NODATA: "denial",
    SERVER_ERROR: "error",
    META: "error",
    OTHER: "error",
}
"""What `log` calls the kinds."""


def kind_of(query: Query, reply: Reply) -> str:
    """One of the constants above."""
    if reply.dropped:
        return OTHER
    if query.message.opcode == codes.NOTIFY or query.type in (codes.AXFR, codes.IXFR):
        return META
    if reply.answer:
        return SUCCESS if reply.rcode == codes.NOERROR else _failed(reply, has_answer=True)
    types = {record.type for record in reply.authority}
    if reply.rcode == codes.NOERROR:
        if codes.SOA in types:
            return NODATA
        return DELEGATION if codes.NS in types else SUCCESS
    return _failed(reply, has_answer=False)


def _failed(reply: Reply, *, has_answer: bool) -> str:
    if reply.rcode == codes.NXDOMAIN:
        return OTHER if has_answer else NXDOMAIN
    if reply.rcode in (codes.SERVFAIL, codes.NOTIMP):
        return SERVER_ERROR
    return OTHER
