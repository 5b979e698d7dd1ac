"""A zone file that is read again: what changes, and what is said of it."""

from __future__ import annotations

import os
from dataclasses import dataclass

from sampan.dns.setup import World
from sampan.dns.zone.loading import Unchanged, load
from sampan.dns.zone.zone import BadZone, Zone


@dataclass(slots=True)
class Source:
    """Where a zone comes from, and when it is read again."""

    path: str
    reload_s: float = 60.0
    by_mtime: bool = False
    mtime: float = 0.0


def read_again(world: World, zones: dict[str, Zone | None], origin: str, source: Source) -> None:
    """Take the file when its serial (or its time, if that was wished) changed."""
    log, old = world.log, zones.get(origin)
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
    zones[origin] = new
    world.changed((("zone", origin),))
    world.zone_changed(origin)
    log.info(
        f'plugin/file: Successfully reloaded zone "{origin}" in "{source.path}" '
        f"with {new.serial} SOA serial"
    )
