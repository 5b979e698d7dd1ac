"""*file* answers from zone files."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass

from sampan.dns.arguments import BadDuration, Fall, duration, shown
from sampan.dns.corefile import CorefileError
from sampan.dns.plugin import Handler, Plugin, Query, Reply
from sampan.dns.setup import Args, World
from sampan.dns.zone import serving
from sampan.dns.zone.loading import Unchanged, load
from sampan.dns.zone.serving import Part
from sampan.dns.zone.zone import BadZone, Zone


@dataclass(slots=True)
class Source:
    """Where a zone comes from, and when it is read again."""

    path: str
    reload_s: float = 60.0
    by_mtime: bool = False
    mtime: float = 0.0


class File(Plugin):
    static = True
    has_work = True

    def __init__(self, world: World) -> None:
        self.world = world
        self.zones: dict[str, Zone | None] = {}
        self.sources: dict[str, Source] = {}
        self.fall = Fall()

    async def answer(self, query: Query, following: Handler) -> Reply:
        return await serving.answer(self.zones, self.fall, query, following)

    def transfer(self, zone: str, serial: int) -> list[Part] | None:
        return serving.transfer(self.zones, zone, serial)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for origin, source in self.sources.items():
                if source.reload_s > 0:
                    group.create_task(self._keep_current(origin, source))

    async def _keep_current(self, origin: str, source: Source) -> None:
        while True:
            await self.world.clock.sleep(source.reload_s)
            self.read_again(origin, source)

    def read_again(self, origin: str, source: Source) -> None:
        """Take the file when its serial (or its time, if that was wished) changed."""
        log, old = self.world.log, self.zones.get(origin)
        try:
            mtime = os.stat(source.path).st_mtime
            if source.by_mtime and mtime <= source.mtime:
                return
            known = 0 if source.by_mtime else -1 if old is None else old.serial
            new = load(source.path, origin, known)
        except OSError as bad:
            did = "stat" if source.by_mtime else "open"
            why = f"{did} {source.path}: {(bad.strerror or '').lower()}"
            log.error(f'plugin/file: Failed to {did} zone "{origin}" in "{source.path}": {why}')
            return
        except Unchanged:
            return
        except BadZone as bad:
            log.error(f'plugin/file: Parsing zone "{origin}": {bad}')
            return
        source.mtime = mtime
        self.zones[origin] = new
        self.world.changed((("zone", origin),))
        self.world.zone_changed(origin)
        log.info(
            f'plugin/file: Successfully reloaded zone "{origin}" in "{source.path}" '
            f"with {new.serial} SOA serial"
        )


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
