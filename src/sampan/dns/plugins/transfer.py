"""*transfer* hands whole zones to those who may have them, and tells secondaries of changes."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass

from sampan.dns import codes, names
from sampan.dns.corefile import CorefileError
from sampan.dns.exchange import ask
from sampan.dns.message import Message, Question, Record
from sampan.dns.plugin import Handler, Plugin, Query, Reply, Transferer, failure, reply_to
from sampan.dns.setup import Args, Settings, World

TRIES = 3
BATCH_BYTES = 63000
"""Of records in one message of a transfer, which leaves room for its header and question."""
EVERYONE = "*"


@dataclass(slots=True)
class Rule:
    """Zones, and the addresses that may have them; `*` is everybody."""

    zones: tuple[str, ...]
    to: list[tuple[str, int]]
    source: str = ""

    def allows(self, address: str) -> bool:
        return any(host in (EVERYONE, address) for host, _ in self.to)


class Transfer(Plugin):
    static = True
    nameless = True

    def __init__(self, world: World, block: Settings, rules: list[Rule]) -> None:
        self.world = world
        self.block = block
        self.rules = rules
        self._notifying: set[asyncio.Task[None]] = set()

    async def answer(self, query: Query, following: Handler) -> Reply:
        if query.type not in (codes.AXFR, codes.IXFR):
            return await following(query)
        rule = self._rule(query.name)
        if query.client.proto != "tcp":
            return failure(codes.REFUSED)
        if rule is None:
            return await following(query)
        if not rule.allows(query.client.address):
            return reply_to(query, aa=False, rcode=codes.REFUSED)
        return self._handed_out(query) or await following(query)

    def _handed_out(self, query: Query) -> Reply | None:
        """The zone from the first plugin that has it."""
        serial = _serial(query) if query.type == codes.IXFR else 0
        if serial is None:
            return failure(codes.SERVFAIL)
        for source in self._sources():
            records = source.transfer(query.name, serial)
            if records is not None:
                return self._reply(query, records)
        return None

    def _reply(self, query: Query, records: list[Record]) -> Reply:
        count = len(records)
        serial = serial_in(records[0]) if records else 0
        whom, tail = query.client.address, f"for {serial} SOA serial"
        if count == 1:
            self.world.log.info(
                "plugin/transfer: Outgoing noop, incremental transfer for up to date zone "
                f'"{query.qname}" to {whom} {tail}'
            )
            return reply_to(query, aa=False)._replace(answer=tuple(records))
        self.world.log.info(
            f"plugin/transfer: Outgoing transfer of {count} records of zone "
            f'"{query.qname}" to {whom} {tail}'
        )
        return reply_to(query)._replace(stream=tuple(_batches(records)))

    def _rule(self, name: str) -> Rule | None:
        best: tuple[int, Rule] | None = None
        for rule in self.rules:
            zone = names.longest_zone(name, rule.zones)
            if zone and (best is None or len(zone) > best[0]):
                best = (len(zone), rule)
        return best[1] if best else None

    def _sources(self) -> list[Transferer]:
        parts = (part for plugin in self.block.all_plugins() for part in plugin.parts())
        return [part for part in parts if hasattr(part, "transfer")]

    # Telling secondaries

    async def start(self) -> None:
        self.world.zone_changed = self.notify
        for source in self._sources():
            for zone in getattr(source, "told_of_at_start", ()):
                self.notify(zone, quiet=True)

    def notify(self, zone: str, *, quiet: bool = False) -> None:
        """Tell those who have the zone that it changed; in the background."""
        rule = self._rule(zone)
        for host, port in rule.to if rule else ():
            if host != EVERYONE:
                task = asyncio.get_running_loop().create_task(
                    self._tell(zone, host, port, quiet=quiet)
                )
                self._notifying.add(task)
                task.add_done_callback(self._notifying.discard)

    async def _tell(self, zone: str, host: str, port: int, *, quiet: bool) -> None:
        message = Message(
            self.world.chance.getrandbits(16), codes.AA, codes.NOTIFY,
            question=Question(zone, codes.SOA),
        )  # fmt: skip
        why = ""
        for _ in range(TRIES):
            try:
                reply = await ask(message, host, port, timeout_s=2)
            except (OSError, TimeoutError, ValueError) as bad:
                why = str(bad) or type(bad).__name__
                continue
            if reply.rcode == codes.NOERROR:
                return
            why = f'rcode was "{codes.rcode_name(reply.rcode)}"'
        if quiet:
            return
        self.world.log.warning(
            "plugin/file: Failed sending notifies: notify for zone "
            f'"{zone}" was not accepted by "{host}:{port}": {why}'
        )

    async def stop(self) -> None:
        for task in self._notifying:
            task.cancel()


def _serial(query: Query) -> int | None:
    """The serial that the client of an IXFR has."""
    authority = query.message.authority
    if len(authority) != 1 or authority[0].type != codes.SOA:
        return None
    return serial_in(authority[0])


def serial_in(soa: Record) -> int:
    return int.from_bytes(soa.rdata[-20:-16]) if soa.type == codes.SOA else 0


def _batches(records: list[Record]) -> Iterator[tuple[Record, ...]]:
    """The records in messages as full as they may be."""
    batch, size = list[Record](), 0
    for record in records:
        length = len(names.wire(record.name)) + 10 + len(record.rdata)
        if batch and size + length > BATCH_BYTES:
            yield tuple(batch)
            batch, size = [], 0
        batch.append(record)
        size += length
    if batch:
        yield tuple(batch)


def setup(args: Args) -> Plugin:
    rules = []
    for words in args.places():
        rule = Rule(args.zones(words), [])
        for name in args.properties():
            if name == "to":
                rule.to += [_address(word) for word in args.some()]
            elif name == "source":
                _source(args, rule)
            else:
                wrong = args.error(f'unknown property "{name}"')
                raise CorefileError(f"plugin/transfer: {wrong}")
        if not rule.to:
            missing = args.error("'to' is required")
            raise CorefileError(f"plugin/transfer: {missing}")
        rules.append(rule)
    return Transfer(args.world, args.block, rules)


def _source(args: Args, rule: Rule) -> None:
    word = args.one()
    if rule.source:
        raise CorefileError(f"plugin/transfer: {args.error('source already specified')}")
    try:
        rule.source = str(ipaddress.ip_address(word))
    except ValueError:
        wrong = args.error(f'invalid source address "{word}"')
        raise CorefileError(f"plugin/transfer: {wrong}") from None


def _address(word: str) -> tuple[str, int]:
    if word == EVERYONE:
        return word, 0
    host, port = word, 53
    if word.startswith("["):
        host, _, tail = word[1:].partition("]")
        port = int(tail[1:]) if tail[1:].isdigit() else 53
    elif word.count(":") == 1:
        host, _, tail = word.partition(":")
        port = int(tail) if tail.isdigit() else 53
    try:
        return str(ipaddress.ip_address(host)), port
    except ValueError:
        raise CorefileError(f"must specify an IP address: `{word}'") from None
