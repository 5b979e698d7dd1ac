"""*secondary* fetches zones from their primaries and answers for them."""

from __future__ import annotations

import asyncio
import ipaddress
import os

from sampan.dns import codes, names
from sampan.dns.arguments import Fall, shown
from sampan.dns.corefile import CorefileError
from sampan.dns.plugin import DROP, Handler, Plugin, Query, Reply, failure, reply_to
from sampan.dns.setup import Args, World
from sampan.dns.zone import serving
from sampan.dns.zone.fetching import Address, fetch, serial_at
from sampan.dns.zone.serving import Part
from sampan.dns.zone.zone import BadZone, Zone

FIRST_RETRY_S, MAX_RETRY_S = 0.25, 10.0
HALF = 1 << 31


class Secondary(Plugin):
    static = True
    has_work = True

    def __init__(self, world: World) -> None:
        self.world = world
        self.zones: dict[str, Zone | None] = {}
        self.primaries: dict[str, list[Address]] = {}
        self.expired: set[str] = set()
        self.fall = Fall()
        self._nudges: dict[str, asyncio.Event] = {}

    async def answer(self, query: Query, following: Handler) -> Reply:
        origin = names.longest_zone(query.name, tuple(self.zones))
        if origin and query.message.opcode == codes.NOTIFY:
            return self._notified(query, origin)
        if origin in self.expired:
            self.world.log.error(f"plugin/file: Zone {origin} is expired")
            return failure(codes.SERVFAIL)
        return await serving.answer(self.zones, self.fall, query, following)

    def transfer(self, zone: str, serial: int) -> list[Part] | None:
        return serving.transfer(self.zones, zone, serial)

    def _notified(self, query: Query, origin: str) -> Reply:
        """A primary says that the zone changed; others are not heard."""
        whom = query.client.address
        if all(host != whom for host, _ in self.primaries[origin]):
            self.world.log.info(f"plugin/file: Dropping notify from {whom} for {origin}")
            return DROP
        self.world.log.info(f"plugin/file: Notify from {whom} for {origin}: checking transfer")
        self._nudge(origin).set()
        return reply_to(query)

    def _nudge(self, origin: str) -> asyncio.Event:
        return self._nudges.setdefault(origin, asyncio.Event())

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for origin in self.primaries:
                group.create_task(self._keep(origin))

    async def _keep(self, origin: str) -> None:
        """Fetch until there is a zone, then ask as often as its SOA says, or when told."""
        clock, wait_s = self.world.clock, FIRST_RETRY_S
        while why := await self._fetched(origin):
            self.world.log.warning(
                f"plugin/secondary: All '{origin}' masters failed to transfer, "
                f"retrying in {shown(wait_s)}: {why}"
            )
            await clock.sleep(wait_s)
            wait_s = min(2 * wait_s, MAX_RETRY_S)
        good = clock.monotonic()
        failed = False
        while True:
            zone = self.zones[origin]
            assert zone is not None
            refresh, retry, expire = (max(1, seconds) for seconds in zone.times())
            await self._wait(origin, retry if failed else refresh)
            failed = not await self._checked(origin)
            if not failed:
                good = clock.monotonic()
                self.expired.discard(origin)
            elif clock.monotonic() - good > expire:
                self.expired.add(origin)
                self.world.changed((("zone", origin),))

    async def _wait(self, origin: str, seconds: float) -> None:
        nudge = self._nudge(origin)
        waits = {
            asyncio.ensure_future(self.world.clock.sleep(seconds)),
            asyncio.ensure_future(nudge.wait()),
        }
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waits:
                one.cancel()
        nudge.clear()

    async def _checked(self, origin: str) -> bool:
        """Whether a primary answered and we have what it has."""
        zone = self.zones[origin]
        for primary in self.primaries[origin]:
            serial = await serial_at(primary, origin, self.world.chance)
            if serial is None:
                continue
            if zone is not None and not _older(zone.serial, serial):
                return True
            return not await self._fetched(origin)
        return False

    async def _fetched(self, origin: str) -> str:
        """Empty, or why no primary gave us the zone."""
        log, why = self.world.log, ""
        for primary in self.primaries[origin]:
            where = f"{primary[0]}:{primary[1]}"
            try:
                records = await fetch(primary, origin, self.world.chance)
                self.zones[origin] = Zone(origin, records)
            except (OSError, TimeoutError, ValueError, BadZone) as bad:
                why = _why(bad, where)
                did = "setup transfer" if why.startswith("dial") else "parse transfer"
                log.error(f"plugin/file: Failed to {did} `{origin}' with `\"{where}\"': {why}")
                continue
            self.world.changed((("zone", origin),))
            self.world.zone_changed(origin)
            log.info(f"plugin/file: Transferred: {origin} from {where}")
            return ""
        return why or "no primary"


def _why(bad: Exception, where: str) -> str:
    """The failure as Go words it."""
    if isinstance(bad, TimeoutError):
        return f"dial tcp {where}: i/o timeout"
    if isinstance(bad, OSError) and bad.errno:
        return f"dial tcp {where}: connect: {os.strerror(bad.errno).lower()}"
    return str(bad)


def _older(ours: int, theirs: int) -> bool:
    """Serial arithmetic (RFC 1982)."""
    return ours != theirs and (theirs - ours) % (1 << 32) < HALF


def setup(args: Args) -> Plugin:
    secondary = Secondary(args.world)
    for words in args.places():
        origins = args.zones(words)
        primaries: list[Address] = []
        for name in args.properties():
            if name == "transfer":
                primaries += _transfer(args)
            elif name == "fallthrough":
                secondary.fall = Fall.from_args(args.rest())
            else:
                raise args.unknown()
        if not primaries:
            raise args.error("secondary zones require a transfer from property")
        for origin in origins:
            secondary.zones[origin] = None
            secondary.primaries.setdefault(origin, []).extend(primaries)
    return secondary


def _transfer(args: Args) -> list[Address]:
    if args.taken() != "from":
        raise args.error(f"unknown property {args.word}")
    return [_address(word) for word in args.some()]


def _address(word: str) -> Address:
    host, port = word, "53"
    if word.startswith("["):
        host, _, tail = word[1:].partition("]")
        port = tail[1:] or port
    elif word.count(":") == 1:
        host, _, port = word.partition(":")
    try:
        return str(ipaddress.ip_address(host)), int(port)
    except ValueError:
        raise CorefileError(f"must specify an IP address: `{word}'") from None
