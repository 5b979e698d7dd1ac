"""*auto* serves every zone file of a folder, and notices new and removed ones."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator

from sampan.dns import names
from sampan.dns.arguments import BadDuration, Fall, duration
from sampan.dns.corefile import CorefileError
from sampan.dns.message import Record
from sampan.dns.plugin import Handler, Plugin, Query, Reply
from sampan.dns.setup import Args, World
from sampan.dns.zone import serving
from sampan.dns.zone.loading import load
from sampan.dns.zone.rereading import Source, read_again
from sampan.dns.zone.zone import BadZone, Zone
from sampan.std import goregexp

MAX_PATTERN = 10000


class Auto(Plugin):
    static = True
    has_work = True

    def __init__(self, world: World) -> None:
        self.world = world
        self.origins: tuple[str, ...] = (".",)
        self.directory = "."
        self.pattern = re.compile(r"db\.(.*)")
        self.template = "{1}"
        self.reload_s = 60.0
        self.zones: dict[str, Zone | None] = {}
        self.sources: dict[str, Source] = {}

    async def answer(self, query: Query, following: Handler) -> Reply:
        if not names.longest_zone(query.name, self.origins):
            return await following(query)
        return await serving.answer(self.zones, Fall(), query, following, aliases_count=False)

    def transfer(self, zone: str, serial: int) -> list[Record] | None:
        return serving.transfer(self.zones, zone, serial)

    async def start(self) -> None:
        self.walk()

    async def run(self) -> None:
        while self.reload_s > 0:
            await self.world.clock.sleep(self.reload_s)
            for origin, source in self.sources.items():
                read_again(self.world, self.zones, origin, source)
            self.walk()

    def walk(self) -> None:
        """Take the folder as it is now."""
        found = self._found()
        for origin in [origin for origin in self.zones if origin not in found]:
            del self.zones[origin]
            del self.sources[origin]
            self.world.log.info(f"plugin/auto: Deleting zone `{origin}'")
            self.world.changed((("zone", origin),))
        for origin, path in found.items():
            self._take(origin, path)

    def _found(self) -> dict[str, str]:
        """The files of the folder by origin; the first one wins."""
        found: dict[str, str] = {}
        folder = self.directory
        if os.path.islink(folder.rstrip("/")):
            folder = os.path.realpath(folder)
        for path in self._files(os.path.normpath(folder)):
            match = self.pattern.search(os.path.basename(path))
            if match is None:
                continue
            origin = names.fqdn(expanded(match, self.template)).lower()
            if origin in found:
                self.world.log.warning(
                    f'plugin/auto: Multiple zone files match origin "{origin}": '
                    f'using "{found[origin]}" instead of "{path}"'
                )
            found.setdefault(origin, path)
        return found

    def _files(self, path: str) -> Iterator[str]:
        """Files below, in the order of their names; folders behind links are not entered."""
        try:
            if not stat.S_ISDIR(os.lstat(path).st_mode):
                yield path
                return
            inside = sorted(os.listdir(path))
        except OSError as bad:
            why = (bad.strerror or "").lower()
            self.world.log.warning(f"plugin/auto: error reading {path}: lstat {path}: {why}")
            return
        for name in inside:
            yield from self._files(name if path == "." else os.path.join(path, name))

    def _take(self, origin: str, path: str) -> None:
        log = self.world.log
        if origin in self.sources:
            self.sources[origin].path = path
            return
        try:
            new = load(path, origin)
        except OSError as bad:
            why = (bad.strerror or "").lower()
            log.warning(f"plugin/auto: Opening {path} failed: open {path}: {why}")
            return
        except BadZone as bad:
            log.warning(f"plugin/auto: Parse zone `{origin}': {bad}")
            return
        self.sources[origin] = Source(path)
        self.zones[origin] = new
        self.world.changed((("zone", origin),))
        self.world.zone_changed(origin)
        log.info(f"plugin/auto: Inserting zone `{origin}' from: {path}")


def expanded(match: re.Match[str], template: str) -> str:
    """The origin: `{1}` or `{name}` in the template stand for groups of the file name."""

    def group(found: re.Match[str]) -> str:
        key = found[1]
        return match[int(key)] if key.isdigit() else match[key]

    return re.sub(r"\$?\{(\w+)\}", group, template)


def setup(args: Args) -> Plugin:
    auto = Auto(args.world)
    for words in args.places():
        auto.origins = args.zones(words)
        for name in args.properties():
            if name == "directory":
                _directory(args, auto)
            elif name == "reload":
                auto.reload_s = _reload(args)
            elif name == "upstream":
                args.rest()  # of old; the targets of aliases are always looked up
            else:
                raise args.unknown()
    return auto


def _directory(args: Args, auto: Auto) -> None:
    words = args.some()
    auto.directory = args.path(words[0])
    if not os.path.exists(auto.directory):
        args.world.log.warning(f"plugin/auto: Directory does not exist: {auto.directory}")
    if len(words) in (2, 4) or len(words) > 4:
        raise args.wrong_count()
    if len(words) == 3:
        if len(words[1]) > MAX_PATTERN:
            raise args.error("regexp too large")
        try:
            auto.pattern = goregexp.compiled(words[1])
        except goregexp.BadPattern as bad:
            raise CorefileError(str(bad)) from bad
        if not auto.pattern.groups:
            raise args.error("Need at least one sub expression")
        auto.template = words[2]


def _reload(args: Args) -> float:
    words = args.rest()
    if not words:
        raise CorefileError("reload duration value is expected")
    try:
        seconds = duration(words[0])
    except BadDuration as bad:
        raise CorefileError(f"plugin/file: {bad}") from bad
    if seconds < 0:
        raise CorefileError("plugin/file: invalid duration")
    return seconds
