"""*secondary* fetches zones from their primaries and answers for them."""

from __future__ import annotations

import asyncio
import ipaddress
import os

from sampan.dns import codes, names
from sampan.dns.arguments import Fall, shown
from sampan.dns.corefile import CorefileError
from sampan.dns.message import Record
from sampan.dns.plugin import DROP, Handler, Plugin, Query, Reply, failure, reply_to
from sampan.dns.setup import Args, World, zones_of
from sampan.dns.zone import serving
from sampan.dns.zone.catalog import Catalogs, Change, Member, members_of
from sampan.dns.zone.fetching import Address, fetch, serial_at
from sampan.dns.zone.zone import BadZone, Zone

FIRST_RETRY_S, MAX_RETRY_S = 0.25, 10.0
HALF = 1 << 31


class Secondary(Plugin):
    static = True
    has_work = True
    blamed = "file"

    def __init__(self, world: World) -> None:
        self.world = world
        self.zones: dict[str, Zone | None] = {}
        self.primaries: dict[str, list[Address]] = {}
        self.expired: set[str] = set()
        self.fall = Fall()
        self.accepted: dict[str, tuple[str, ...]] = {}
        """The catalog zones, with what their members must be below; empty for anything."""
        self.catalogs = Catalogs()
        self._nudges: dict[str, asyncio.Event] = {}
        self._told: dict[str, str] = {}
        """Who said last that a zone changed, until that was looked at."""
        self._keeping: dict[str, asyncio.Task[None]] = {}
        self._group = asyncio.TaskGroup()

    async def answer(self, query: Query, following: Handler) -> Reply:
        origin = names.longest_zone(query.name, tuple(self.zones))
        if origin and query.message.opcode == codes.NOTIFY:
            return self._notified(query, origin)
        if origin in self.expired:
            self.world.log.error(f"plugin/file: Zone {origin} is expired")
            return failure(codes.SERVFAIL)
        return await serving.answer(self.zones, self.fall, query, following)

    def transfer(self, zone: str, serial: int) -> list[Record] | None:
        return serving.transfer(self.zones, zone, serial)

    def _notified(self, query: Query, origin: str) -> Reply:
        """A primary says that the zone changed; others are not heard."""
        whom = query.client.address
        if all(host != whom for host, _ in self.primaries[origin]):
            self.world.log.info(f"plugin/file: Dropping notify from {whom} for {origin}")
            return DROP
        self.world.log.info(f"plugin/file: Notify from {whom} for {origin}: checking transfer")
        self._told[origin] = whom
        self._nudge(origin).set()
        return reply_to(query)

    def _nudge(self, origin: str) -> asyncio.Event:
        return self._nudges.setdefault(origin, asyncio.Event())

    async def run(self) -> None:
        async with self._group:
            for origin in self.primaries:
                self._group.create_task(self._keep(origin))

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
            whom = self._told.pop(origin, "")
            if zone is not None and not _older(zone.serial, serial):
                if whom:
                    self.world.log.info(
                        f"plugin/file: Notify from {whom} for {origin}: no SOA serial increase seen"
                    )
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
                members = members_of(origin, records) if origin in self.accepted else None
                self.zones[origin] = Zone(origin, records)
            except (OSError, TimeoutError, ValueError, BadZone) as bad:
                why = _why(bad, where)
                log.error(f"plugin/file: Failed to {_what(bad, why, origin, where)}: {why}")
                continue
            self.world.changed((("zone", origin),))
            self.world.zone_changed(origin)
            log.info(f"plugin/file: Transferred: {origin} from {where}")
            if members is not None:
                self._listed(origin, members)
            return ""
        return why or "no primary"

    # Members of catalogs

    def _listed(self, origin: str, members: list[Member]) -> None:
        """Serve what a catalog lists now, and nothing that it listed before."""
        log = self.world.log
        accepted = self.accepted[origin]
        for change in self.catalogs.take(origin, members, self.zones.keys(), accepted):
            if change.gone:
                self._forget(change.zone)
            elif change.member is not None:
                self._serve(change, self.primaries[origin])
            else:
                log.warning(f"plugin/secondary: {change.note}")
                continue
            log.info(f"plugin/secondary: {change.note}")
        log.info(f"plugin/secondary: Parsed catalog zone {origin} with {len(members)} member zones")

    def _serve(self, change: Change, primaries: list[Address]) -> None:
        """Fetch a member, from scratch or over what is there."""
        zone = change.zone
        kept, expired = self.zones.get(zone), zone in self.expired
        self._forget(zone)
        self.zones[zone] = kept if change.keeps else None
        if change.keeps and expired:
            self.expired.add(zone)
        self.primaries[zone] = list(primaries)
        self._keeping[zone] = self._group.create_task(self._keep(zone))

    def _forget(self, zone: str) -> None:
        task = self._keeping.pop(zone, None)
        if task is not None:
            task.cancel()
        self.zones.pop(zone, None)
        self.primaries.pop(zone, None)
        self.expired.discard(zone)
        self._nudges.pop(zone, None)
        self.world.changed((("zone", zone),))


def _what(bad: Exception, why: str, origin: str, where: str) -> str:
    if why.startswith("dial"):
        return f"setup transfer `{origin}' with `\"{where}\"'"
    if isinstance(bad, BadZone):
        return f'parse transfer `{origin}\' from: "{where}"'
    return f'transfer `{origin}\' from "{where}"'


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
            elif name == "catalog":
                accepted = _accepted(args.rest())
                for origin in origins:
                    before = secondary.accepted.get(origin, accepted)
                    both = tuple(dict.fromkeys((*before, *accepted)))
                    secondary.accepted[origin] = both if before and accepted else ()
            elif name == "fallthrough":
                secondary.fall = Fall.from_args(args.rest())
            else:
                raise args.unknown()
        if not primaries:
            raise args.error("secondary zones require a transfer from property")
        for origin in origins:
            secondary.zones[origin] = None
            secondary.primaries.setdefault(origin, []).extend(primaries)
    # Zones that come and go take names from what stands behind: such answers are not kept.
    secondary.static = not secondary.accepted
    return secondary


def _accepted(words: list[str]) -> tuple[str, ...]:
    found: list[str] = []
    for word in words:
        zones = zones_of(word)
        if not zones:
            raise CorefileError(f'invalid catalog member zone "{word}"')
        found += zones
    return tuple(found)


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
