"""*file* answers from zone files."""

from __future__ import annotations

import asyncio
import os

from sampan.dns import codes, names
from sampan.dns.arguments import BadDuration, Fall, duration, shown
from sampan.dns.corefile import CorefileError
from sampan.dns.message import Record
from sampan.dns.plugin import DROP, Handler, Plugin, Query, Reply
from sampan.dns.setup import Args, World
from sampan.dns.zone import serving
from sampan.dns.zone.loading import load
from sampan.dns.zone.rereading import Source, read_again
from sampan.dns.zone.zone import BadZone, Zone


class File(Plugin):
    static = True
    has_work = True

    def __init__(self, world: World) -> None:
        self.world = world
        self.zones: dict[str, Zone | None] = {}
        self.sources: dict[str, Source] = {}
        self.fall = Fall()

    @property
    def told_of_at_start(self) -> tuple[str, ...]:
        """The zones whose secondaries hear of them as soon as we serve."""
        return tuple(self.zones)

    async def answer(self, query: Query, following: Handler) -> Reply:
        if query.message.opcode == codes.NOTIFY:
            origin = names.longest_zone(query.name, tuple(self.zones))
            if origin:  # we are nobody's secondary
                whom = query.client.address
                self.world.log.info(f"plugin/file: Dropping notify from {whom} for {origin}")
                return DROP
        return await serving.answer(self.zones, self.fall, query, following)

    def transfer(self, zone: str, serial: int) -> list[Record] | None:
        return serving.transfer(self.zones, zone, serial)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for origin, source in self.sources.items():
                if source.reload_s > 0:
                    group.create_task(self._keep_current(origin, source))

    async def _keep_current(self, origin: str, source: Source) -> None:
        while True:
            await self.world.clock.sleep(source.reload_s)
            read_again(self.world, self.zones, origin, source)


def setup(args: Args) -> Plugin:
    file = File(args.world)
    for words in args.places():
        if not words:
            raise args.wrong_count()
        path, origins = args.path(words[0]), args.zones(words[1:])
        missing = _loaded(file, path, origins)
        source = Source(path)
        for name in args.properties():
            _property(args, name, file, source)
        for origin in origins:
            file.sources[origin] = source
        if missing and not source.reload_s:
            raise CorefileError(f"plugin/file: {missing}")
        if missing:
            again = shown(source.reload_s)
            args.world.log.warning(
                f'plugin/file: Failed to open "{missing}": trying again in {again}'
            )
    return file


def _loaded(file: File, path: str, origins: tuple[str, ...]) -> str:
    """Read the file for every zone; why it cannot be opened, if so. Raises CorefileError."""
    for origin in origins:
        file.zones[origin] = None
        try:
            file.zones[origin] = load(path, origin)
        except OSError as bad:
            return f"open {path}: {(bad.strerror or '').lower()}"
        except BadZone as bad:
            raise CorefileError(str(bad)) from bad
    return ""


def _property(args: Args, name: str, file: File, source: Source) -> None:
    if name == "fallthrough":
        file.fall = Fall.from_args(args.rest())
    elif name == "reload":
        words = args.rest()
        if not words:
            raise CorefileError("reload duration value is expected")
        try:
            source.reload_s = duration(words[0])
        except BadDuration as bad:
            raise CorefileError(f"plugin/file: {bad}") from bad
    elif name == "reload_by_mtime":
        source.by_mtime = True
        source.mtime = os.stat(source.path).st_mtime if os.path.exists(source.path) else 0.0
    elif name == "upstream":
        args.rest()  # of old; the targets of aliases are always looked up
    else:
        raise args.unknown()
