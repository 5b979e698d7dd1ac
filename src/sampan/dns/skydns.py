"""Services in etcd, as SkyDNS laid them out: a name is a path from the right, a value is JSON.

    /skydns/com/mycompany  {"host": "10.1.1.1", "ttl": 60}      mycompany.com  A  10.1.1.1

etcd is asked over its JSON gateway (v3), so that no other library is needed.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from sampan.client.transport import Request, Transport, Unreachable
from sampan.dns import codes, names
from sampan.dns.backend import Asked, Found

TIMEOUT_S = 5.0
PRIORITY = 10
TTL_S = 300
SOA_TTL_S = 30
WILDCARDS = ("*", "any")


class Failure(Exception):
    """etcd does not answer, or holds something that is no service."""


class Entry(NamedTuple):
    key: str
    value: bytes
    lease: int


class Etcd:
    """A key-value store that is asked at the first endpoint that answers. Raises Failure."""

    def __init__(
        self, transports: Sequence[Transport], credentials: tuple[str, str] | None = None
    ) -> None:
        self.transports = transports
        self.credentials = credentials
        self._token = ""

    async def get(self, key: str, *, below: bool = False) -> list[Entry]:
        body = {"key": _packed(key.encode())}
        if below:
            body["range_end"] = _packed(_after(key.encode()))
        found = await self._post("/v3/kv/range", body)
        return [
            Entry(
                base64.b64decode(item["key"]).decode("utf-8", "replace"),
                base64.b64decode(item.get("value", "")),
                int(item.get("lease", 0)),
            )
            for item in found.get("kvs", ())
        ]

    async def lease_left(self, lease: int) -> int:
        """Seconds that a lease has left; 0 when it is unknown."""
        found = await self._post("/v3/lease/timetolive", {"ID": str(lease)})
        return max(0, int(found.get("TTL", 0)))

    async def _post(self, path: str, body: Mapping[str, str]) -> dict[str, Any]:
        if self.credentials is not None and not self._token:
            name, password = self.credentials
            given = await self._ask("/v3/auth/authenticate", {"name": name, "password": password})
            self._token = str(given.get("token", ""))
        return await self._ask(path, body)

    async def _ask(self, path: str, body: Mapping[str, str]) -> dict[str, Any]:
        headers = {"content-type": "application/json"}
        if self._token:
            headers["authorization"] = self._token
        why = "no endpoint"
        for transport in self.transports:
            request = Request("POST", path, "", headers, json.dumps(body).encode())
            try:
                response = await transport.request(request, timeout_s=TIMEOUT_S)
                content = await response.read()
            except Unreachable as bad:
                why = str(bad)
                continue
            if response.status == 200:
                found: dict[str, Any] = json.loads(content)
                return found
            self._token = ""
            why = f"etcd answers {response.status}: {content[:200]!r}"
        raise Failure(why)

    async def close(self) -> None:
        for transport in self.transports:
            await transport.close()


def _packed(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _after(prefix: bytes) -> bytes:
    """The end of the range of keys with this prefix."""
    return prefix[:-1] + bytes((prefix[-1] + 1,))


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
        services = [(entry, _service(entry)) for entry in entries]
        services = [
            (entry, one)
            for entry, one in services
            if one.get("host") or (kind == codes.TXT and one.get("text"))
        ]
        chosen = _grouped([(entry.key, one) for entry, one in services])
        leases = {entry.key: entry.lease for entry, _ in services}
        found = [await self._found(key, one, leases[key]) for key, one in chosen]
        return list(dict.fromkeys(found))

    async def _found(self, key: str, one: dict[str, Any], lease: int) -> Found:
        strip = int(one.get("targetstrip", 0))
        host = str(one.get("host", ""))
        domain = _stripped(self._domain(key), strip)
        return Found(
            host if not strip or _is_address(host) else _stripped(names.fqdn(host), strip),
            domain,
            int(one.get("port", 0)),
            await self._ttl(one, lease),
            int(one.get("priority", 0)) or PRIORITY,
            int(one.get("weight", 0)),
            "" if host else str(one.get("text", "")),
            bool(one.get("mail", False)),
        )

    def _domain(self, key: str) -> str:
        labels = key.strip("/").split("/")
        skip = len(self.prefix.split("/"))
        return ".".join(reversed(labels[skip:])) + "."

    async def _ttl(self, one: dict[str, Any], lease: int) -> int:
        """The service's own TTL, its lease's, or the smaller of the two."""
        own, left = int(one.get("ttl", 0)), 0
        if lease and self.etcd is not None:
            left = await self.etcd.lease_left(lease)
            left = min(max(left, self.min_lease_s), self.max_lease_s) if left else 0
        given = [ttl for ttl in (own, left) if ttl]
        return min(given) if given else TTL_S


def _service(entry: Entry) -> dict[str, Any]:
    try:
        found = json.loads(entry.value)
    except ValueError as bad:
        raise Failure(f"{entry.key}: {bad}") from bad
    if not isinstance(found, dict):
        raise Failure(f"{entry.key}: not a service: {entry.value[:80]!r}")
    return found


def _is_address(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()


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


def _grouped(services: list[tuple[str, dict[str, Any]]]) -> list[tuple[str, dict[str, Any]]]:
    """Of several groups only that of the shortest key, unless the shortest keys disagree."""
    if not services:
        return services
    depth = {key: key.count("/") for key, _ in services}
    group, least = str(services[0][1].get("group", "")), depth[services[0][0]]
    for key, one in services:
        if depth[key] < least:
            if not one.get("group"):
                break
            least, group = depth[key], str(one["group"])
    if not group:
        return services
    kept = []
    for key, one in services:
        own = str(one.get("group", ""))
        if own and own != group and depth[key] == least:
            return services
        if not own or own == group:
            kept.append((key, one))
    return kept
