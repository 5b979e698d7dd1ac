"""Services in etcd, as SkyDNS laid them out: a name is a path from the right, a value is JSON.

/skydns/com/mycompany  {"host": "10.1.1.1", "ttl": 60}      mycompany.com  A  10.1.1.1
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from sampan.dns import codes, names
from sampan.dns.backend import Asked, Found, kind_of_host
from sampan.dns.etcdclient import Entry, Etcd, Failure

PRIORITY = 10
TTL_S = 300
SOA_TTL_S = 30
WILDCARDS = ("*", "any")


class Service(NamedTuple):
    """What a value says; every field may be missing."""

    host: str = ""
    port: int = 0
    priority: int = 0
    weight: int = 0
    text: str = ""
    mail: bool = False
    ttl: int = 0
    targetstrip: int = 0
    group: str = ""


class SkyDns:
    """The source that `backend` makes records from."""

    ttl = SOA_TTL_S

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self.prefix = "skydns"
        self.etcd: Etcd | None = None
        self.min_lease_s = 30
        self.max_lease_s = 86400

    def serial(self, zone: str) -> int:
        return int(self.now())

    async def reverse(self, asked: Asked) -> list[Found] | None:
        return await self.services(asked)

    async def services(self, asked: Asked) -> list[Found] | None:
        labels = names.split(asked.name)[::-1]
        wild = next((i for i, label in enumerate(labels) if label in WILDCARDS), None)
        path = self._path(labels[:wild])
        exact = asked.type in (codes.CNAME, codes.PTR)
        entries = await self._entries(path, exact=exact)
        if not entries:
            return None
        if wild is not None:
            entries = [e for e in entries if _fits(e.key, self._path(labels))]
        return await self._founds(entries, asked.type)

    def _path(self, labels: list[str]) -> str:
        return "/" + "/".join([self.prefix, *labels])

    async def _entries(self, path: str, *, exact: bool) -> list[Entry]:
        """What stands below a path; failing that, or when it is wished, at the path itself."""
        assert self.etcd is not None
        if not exact:
            found = await self.etcd.get(path + "/", below=True)
            if found:
                return found
        return await self.etcd.get(path)

    async def _founds(self, entries: list[Entry], kind: int) -> list[Found]:
        services = [(entry, service_in(entry)) for entry in entries]
        services = [
            (entry, one) for entry, one in services if one.host or (kind == codes.TXT and one.text)
        ]
        chosen = _grouped([(entry.key, one) for entry, one in services])
        leases = {entry.key: entry.lease for entry, _ in services}
        return [await self._found(key, one, leases[key]) for key, one in chosen]

    async def _found(self, key: str, one: Service, lease: int) -> Found:
        strip = one.targetstrip
        is_name = bool(one.host) and kind_of_host(one.host) == codes.CNAME
        return Found(
            _stripped(names.fqdn(one.host), strip) if strip and is_name else one.host,
            _stripped(self._domain(key), strip),
            one.port,
            await self._ttl(one, lease),
            one.priority or PRIORITY,
            one.weight,
            one.text,
            one.mail,
        )

    def _domain(self, key: str) -> str:
        labels = key.strip("/").split("/")
        skip = len(self.prefix.split("/"))
        return ".".join(reversed(labels[skip:])) + "."

    async def _ttl(self, one: Service, lease: int) -> int:
        """The service's own TTL, its lease's, or the smaller of the two."""
        left = 0
        if lease and self.etcd is not None:
            left = await self.etcd.lease_left(lease)
            left = min(max(left, self.min_lease_s), self.max_lease_s) if left else 0
        given = [ttl for ttl in (one.ttl, left) if ttl]
        return min(given) if given else TTL_S


def service_in(entry: Entry) -> Service:
    """The service that a value describes; field names in any case. Raises Failure."""
    try:
        found = json.loads(entry.value)
    except ValueError as bad:
        raise Failure(f"{entry.key}: {bad}") from bad
    if found is None:
        return Service()
    if not isinstance(found, dict):
        raise Failure(f"{entry.key}: not a service: {entry.value[:80]!r}")
    given: dict[str, Any] = {}
    for word, value in found.items():
        name = word.lower()
        wanted = _TYPES.get(name)
        if wanted is None or value is None:
            continue
        if type(value) is not wanted or not _in_range(name, value):
            raise Failure(f"{entry.key}: {name}: {value!r} is no {_WORDS[wanted]}")
        given[name] = _told(name, value)
    return Service(**given)


def _told(name: str, value: Any) -> Any:
    """Upstream reads any number, and tells what fits; port -1 is none."""
    return value & 0xFFFF if name in _CUT and value != -1 else value


def _in_range(name: str, value: Any) -> bool:
    return name not in _LARGEST or 0 <= value <= _LARGEST[name]


_TYPES: dict[str, type] = {name: type(value) for name, value in Service()._asdict().items()}
_WORDS = {str: "text", int: "number that fits", bool: "true or false"}
_LARGEST = {
    "weight": 65535, "ttl": 2**32 - 1, "targetstrip": 127,
}  # fmt: skip
_CUT = ("port", "priority")


def _stripped(name: str, count: int) -> str:
    labels = names.split(name)
    return ".".join(labels[count:]) + "." if count < len(labels) else name


def _fits(key: str, pattern: str) -> bool:
    """Whether a key begins with the pattern's parts, wildcards standing for any one."""
    parts, wanted = key.split("/"), pattern.split("/")
    if len(wanted) > len(parts):
        return False
    pairs = zip(wanted, parts, strict=False)
    return all(want in WILDCARDS or want == part for want, part in pairs)


def _grouped(services: list[tuple[str, Service]]) -> list[tuple[str, Service]]:
    """Of several groups only that of the shortest key, unless the shortest keys disagree."""
    if not services:
        return services
    depth = {key: key.count("/") for key, _ in services}
    group, least = services[0][1].group, depth[services[0][0]]
    for key, one in services:
        if depth[key] < least:
            if not one.group:
                break
            least, group = depth[key], one.group
    if not group:
        return services
    if any(one.group not in ("", group) and depth[key] == least for key, one in services):
        return services
    return [(key, one) for key, one in services if one.group in ("", group)]
