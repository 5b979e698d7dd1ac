"""Zones that answer: what *file*, *auto* and *secondary* have in common."""

from __future__ import annotations

from collections.abc import Mapping

from sampan.dns import codes, names
from sampan.dns.arguments import Fall
from sampan.dns.message import Record
from sampan.dns.plugin import (
    Handler,
    Query,
    Reply,
    Validity,
    failure,
    nobody,
    reply_to,
)
from sampan.dns.zone import lookup
from sampan.dns.zone.zone import Zone


async def answer(
    zones: Mapping[str, Zone | None],
    fall: Fall,
    query: Query,
    following: Handler,
    *,
    aliases_count: bool = True,
) -> Reply:
    """The reply from the longest zone; None stands for one that is not there yet. An alias in
    front of a referral makes the reply authoritative only where `aliases_count`.
    """
    origin = names.longest_zone(query.name, tuple(zones))
    if not origin:
        # Where nobody else can be asked, an authority refuses what is not its own.
        return failure(codes.REFUSED) if following is nobody else await following(query)
    if query.type in (codes.AXFR, codes.IXFR):
        return failure(codes.REFUSED)
    zone = zones[origin]
    if zone is None:
        return failure(codes.SERVFAIL)
    found = await lookup.look_up(zone, query, query.name)
    negative = not found.answer and found.kind in (lookup.NAME_ERROR, lookup.SUCCESS)
    if negative and fall.through(query.name):
        return await following(query)
    reply = made(query, origin, found)
    if found.kind == lookup.DELEGATION and not aliases_count:
        return reply._replace(flags=reply.flags & ~codes.AA)
    return reply


def made(query: Query, origin: str, found: lookup.Outcome) -> Reply:
    """The outcome as a reply."""
    rcode = codes.NOERROR
    if found.kind == lookup.NAME_ERROR:
        rcode = codes.NXDOMAIN
    elif found.kind == lookup.FAILED:
        if not found.answer:
            return failure(codes.SERVFAIL)
        rcode = codes.SERVFAIL
    referral = found.kind == lookup.DELEGATION and not found.answer
    return reply_to(query, aa=not referral, rcode=rcode)._replace(
        answer=found.answer,
        authority=found.authority,
        additional=found.additional,
        validity=None if found.outside else Validity((("zone", origin),)),
    )


def transfer(zones: Mapping[str, Zone | None], name: str, serial: int) -> list[Record] | None:
    """The zone for a transfer, the SOA at both ends; None when it is not ours. One that
    the client has already is its SOA alone.
    """
    zone = zones.get(name)
    if zone is None or not zone.soa:
        return None
    if serial and serial == zone.serial:
        return [*zone.soa]
    return [*zone.records(), *zone.soa]
