"""Zones from other servers: the serial, and the whole zone by AXFR (RFC 5936)."""

from __future__ import annotations

import asyncio
from random import Random

from sampan.dns import codes
from sampan.dns.message import BadMessage, Message, Record, parse, query
from sampan.dns.render import render

Address = tuple[str, int]
TIMEOUT_S = 10.0


async def serial_at(server: Address, origin: str, chance: Random) -> int | None:
    """The serial that a server has; None where it does not say. Over TCP, so that nobody else
    can say it.
    """
    try:
        async with asyncio.timeout(TIMEOUT_S):
            reader, writer = await asyncio.open_connection(*server)
            try:
                await _send(writer, query(origin, codes.SOA, chance.getrandbits(16)))
                reply = await _receive(reader)
            finally:
                writer.close()
    except (OSError, TimeoutError, BadMessage, asyncio.IncompleteReadError):
        return None
    for record in reply.answer:
        if record.type == codes.SOA:
            raw = record.rdata
            return int.from_bytes(raw[len(raw) - 20 : len(raw) - 16])
    return None


async def fetch(server: Address, origin: str, chance: Random) -> list[Record]:
    """All records, the SOA once. Raises OSError, TimeoutError and BadMessage."""
    reader, writer = await asyncio.wait_for(asyncio.open_connection(*server), TIMEOUT_S)
    try:
        await _send(writer, query(origin, codes.AXFR, chance.getrandbits(16)))
        records: list[Record] = []
        while len(records) < 2 or records[-1].type != codes.SOA:
            async with asyncio.timeout(TIMEOUT_S):
                message = await _receive(reader)
            if message.rcode:
                raise BadMessage(f"dns: bad xfr rcode: {message.rcode}")
            if not message.answer or (not records and message.answer[0].type != codes.SOA):
                raise BadMessage("dns: no SOA")
            records += message.answer
    except asyncio.IncompleteReadError as bad:
        raise BadMessage("connection closed within the transfer") from bad
    finally:
        writer.close()
    return records[:-1]


async def _send(writer: asyncio.StreamWriter, message: Message) -> None:
    wire = render(message)
    writer.write(len(wire).to_bytes(2) + wire)
    await writer.drain()


async def _receive(reader: asyncio.StreamReader) -> Message:
    size = int.from_bytes(await reader.readexactly(2))
    return parse(await reader.readexactly(size))
