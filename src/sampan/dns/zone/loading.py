"""A zone from a file."""

from __future__ import annotations

from sampan.dns import zonefile
from sampan.dns.zone.zone import BadZone, Zone


class Unchanged(BadZone):
    """The file has the serial that is known already."""


def load(path: str, origin: str, known: int = 0) -> Zone:
    """The zone in a file. Raises OSError, BadZone, and Unchanged for the serial `known`; that of a
    zone which is not there yet counts as 0, so that no zone can start with it.
    """
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        content = file.read()
    try:
        zone = Zone(origin, zonefile.read(content, origin, path))
    except zonefile.BadZone as bad:
        raise BadZone(
            f'failed to parse file "{path}" for origin {origin} with error {bad}'
        ) from bad
    if not zone.soa:
        raise BadZone(f'file "{path}" has no SOA record for origin {origin}')
    if zone.serial == known:
        raise Unchanged(
            f"no change in SOA serial for origin {origin} in file {path}, with {known} SOA serial"
        )
    return zone
