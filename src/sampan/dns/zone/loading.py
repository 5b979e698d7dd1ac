"""A zone from a file."""

from __future__ import annotations

from sampan.dns import zonefile
from sampan.dns.zone.zone import BadZone, Zone


def load(path: str, origin: str) -> Zone:
    """The zone in a file. Raises OSError and BadZone."""
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
    return zone
