"""*hosts* answers from a hosts file and from lines in the Corefile."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterable
from dataclasses import dataclass, field

from sampan.dns import codes, names
from sampan.dns.arguments import ONCE, BadDuration, Fall, duration
from sampan.dns.corefile import CorefileError
from sampan.dns.plugin import Handler, Plugin, Query, Reply, Validity, failure, reply_to
from sampan.dns.rdata import a_record, name_record
from sampan.dns.setup import Args, World

TAG = "hosts"


@dataclass(frozen=True, slots=True)
class Table:
    """Addresses by name and family, names by address."""

    addresses: dict[tuple[str, int], list[str]] = field(default_factory=dict)
    names: dict[str, list[str]] = field(default_factory=dict)

    def find(self, name: str, family: int) -> list[str]:
        """The name's own lines, or those of the wildcard one label up."""
        found = self.addresses.get((name, family))
        if found is None:
            found = self.addresses.get(("*." + names.parent(name), family), [])
        return found


@dataclass(slots=True)
class Options:
    zones: tuple[str, ...] = (".",)
    ttl: int = 3600
    reload_s: float = 5.0
    reverse: bool = True
    fall: Fall = field(default_factory=Fall)
    fall_unsupported: bool = False


class Hosts(Plugin):
    static = True
    has_work = True

    def __init__(self, world: World, path: str, options: Options, inline: list[str]) -> None:
        self.world = world
        self.path = path
        self.options = options
        self.file = Table()
        self.inline = parsed(inline, options)
        self.seen: tuple[float, int] | None = None

    async def answer(self, query: Query, following: Handler) -> Reply:
        name, options = query.name, self.options
        if not names.longest_zone(name, options.zones) and query.type != codes.PTR:
            return await following(query)
        if query.type == codes.PTR:
            found = self._names(names.address_of_reverse(name))
            if not found:
                return await following(query)
            records = [name_record(name, codes.PTR, options.ttl, target) for target in found]
        elif query.type in (codes.A, codes.AAAA):
            family = 4 if query.type == codes.A else 6
            records = [a_record(name, options.ttl, ip) for ip in self._addresses(name, family)]
        else:
            records = []
            if options.fall_unsupported and options.fall.through(name):
                return await following(query)
        if not records and not self._addresses(name, 4) and not self._addresses(name, 6):
            if options.fall.through(name):
                return await following(query)
            # NXDOMAIN needs an SOA, which a hosts file has not.
            return failure(codes.SERVFAIL)
        return reply_to(query)._replace(answer=tuple(records), validity=Validity((TAG,)))

    def _addresses(self, name: str, family: int) -> list[str]:
        return [*self.file.find(name, family), *self.inline.find(name, family)]

    def _names(self, address: str) -> list[str]:
        return [*self.file.names.get(address, ()), *self.inline.names.get(address, ())]

    async def start(self) -> None:
        self.read()

    async def run(self) -> None:
        while self.options.reload_s > 0:
            await self.world.clock.sleep(self.options.reload_s)
            self.read()

    def read(self) -> None:
        """Read the file if it changed."""
        try:
            stat = os.stat(self.path)
            if self.seen == (stat.st_mtime, stat.st_size):
                return
            with open(self.path, encoding="utf-8", errors="replace") as file:
                self.file = parsed(file, self.options)
        except OSError:
            return  # said at the start; the file may appear later
        self.seen = (stat.st_mtime, stat.st_size)
        count = len(self.file.addresses) + len(self.inline.addresses)
        self.world.counters.hosts_entries.labels(self.path).set(count)
        self.world.counters.hosts_reloaded.set(stat.st_mtime)
        self.world.changed((TAG,))


def parsed(lines: Iterable[str], options: Options) -> Table:
    """Lines of `address name...`; others are skipped, as the C library does."""
    table = Table()
    for line in lines:
        words = line.split("#")[0].split()
        address = _address(words[0]) if len(words) > 1 else ""
        if not address:
            continue
        family = 6 if ":" in address else 4
        for word in words[1:]:
            name = names.fqdn(word).lower()
            if not names.longest_zone(name, options.zones):
                continue
            table.addresses.setdefault((name, family), []).append(address)
            if options.reverse and not name.startswith("*."):
                table.names.setdefault(address, []).append(name)
    return table


def _address(word: str) -> str:
    try:
        found = ipaddress.ip_address(word.partition("%")[0])
    except ValueError:
        return ""
    mapped = found.ipv4_mapped if found.version == 6 else None
    return str(mapped or found)


def setup(args: Args) -> Plugin:
    path, options, inline = "/etc/hosts", Options(), list[str]()
    for number, words in enumerate(args.places()):
        if number:
            raise CorefileError(ONCE)
        if words:
            path = args.path(words.pop(0))
            _check(args, path)
        options.zones = args.zones(words)
        for field_name in args.properties():
            _property(args, field_name, options, inline)
    if options.fall_unsupported and not options.fall.zones:
        raise args.error("fallthrough_unsupported requires fallthrough")
    return Hosts(args.world, path, options, inline)


def _check(args: Args, path: str) -> None:
    if not os.path.exists(path):
        args.world.log.warning(f"plugin/hosts: File does not exist: {path}")
    elif os.path.isdir(path):
        args.world.log.warning(f'plugin/hosts: Hosts file "{path}" is a directory')


def _property(args: Args, name: str, options: Options, inline: list[str]) -> None:
    if name == "fallthrough":
        options.fall = Fall.from_args(args.rest())
    elif name == "fallthrough_unsupported":
        args.none()
        options.fall_unsupported = True
    elif name == "no_reverse":
        options.reverse = False
    elif name == "ttl":
        options.ttl = _ttl(args)
    elif name == "reload":
        options.reload_s = _reload(args)
    elif not options.fall.zones:
        inline.append(" ".join([name, *args.rest()]))
    else:
        raise args.unknown()


def _ttl(args: Args) -> int:
    words = args.rest()
    if not words:
        raise args.error("ttl needs a time in second")
    try:
        ttl = int(words[0])
    except ValueError:
        raise args.error("ttl needs a number of second") from None
    if not 0 < ttl <= 65535:
        raise args.error("ttl provided is invalid")
    return ttl


def _reload(args: Args) -> float:
    words = args.rest()
    if len(words) != 1:
        raise args.error("reload needs a duration (zero seconds to disable)")
    try:
        seconds = duration(words[0])
    except BadDuration:
        raise args.error(f"invalid duration for reload '{words[0]}'") from None
    if seconds < 0:
        raise args.error(f"invalid negative duration for reload '{words[0]}'")
    return seconds
