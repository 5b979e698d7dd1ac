"""The order in which endpoints list their ports: equal to upstream's, so that tools that compare
slices of two clusters, or keep them under version control, see no difference.

Ports are a set; upstream sorts them by a hash of how Go's deep printer shows each one.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from sampan.api.meta import Json

_OFFSET, _PRIME, _BITS = 0x6C62272E07BB014262B821756295C58D, 0x0000000001000000000000000000013B, 128
Row = tuple[str, str, int, str]


def of_slice(ports: Iterable[Json]) -> list[Json]:
    """The ports of an EndpointSlice, in order."""
    return sorted(ports, key=lambda port: _slice_key(_row(port)))


def of_endpoints(ports: Iterable[Json]) -> list[Json]:
    """The ports of a subset of Endpoints, in order."""
    return sorted(ports, key=lambda port: _endpoints_key(_row(port)))


def fnv128a(data: bytes) -> int:
    value = _OFFSET
    for byte in data:
        value = ((value ^ byte) * _PRIME) & ((1 << _BITS) - 1)
    return value


def _row(port: Json) -> Row:
    name, protocol = port.get("name") or "", port.get("protocol") or "TCP"
    return name, protocol, port.get("port") or 0, port.get("appProtocol") or ""


@lru_cache(4096)
def _slice_key(row: Row) -> int:
    name, protocol, number, app = row
    return _hash(
        f"Name:(*string){name} Protocol:(*v1.Protocol){protocol} Port:(*int32){number}", app
    )


@lru_cache(4096)
def _endpoints_key(row: Row) -> int:
    name, protocol, number, app = row
    return _hash(f"Name:(string){name} Port:(int32){number} Protocol:(v1.Protocol){protocol}", app)


def _hash(shown: str, app: str) -> int:
    shown += f" AppProtocol:(*string){app or '<nil>'}"
    return fnv128a(f"(v1.EndpointPort){{{shown}}}".encode())
