"""Is the proxy well, and how many endpoints has a Service here: what load balancers ask.

`/healthz` and `/livez` on their port; a health check node port for each Service with
externalTrafficPolicy Local, at the addresses that serve node ports.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from sampan.api.meta import Json, Key
from sampan.proxy.model import Health
from sampan.std import log
from sampan.std.clock import Clock
from sampan.std.http import Handler, Request, Response
from sampan.std.httpd import Server, listener, serve

DELETION_TAINT = "ToBeDeletedByClusterAutoscaler"
FAMILIES = ("IPv4", "IPv6")
JSON = {"Content-Type": "application/json", "X-Content-Type-Options": "nosniff"}
TEXT = {"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"}
_LOG = log.get("proxy")


@dataclass(slots=True)
class Wellbeing:
    """Well as long as no change has waited longer than `patience_s`, as upstream also before the
    first ones are in force; eligible for outside traffic as long as the node is not about to go.
    """

    clock: Clock
    patience_s: float = 60
    updated: float = field(default=0, init=False)
    queued: float = 0
    """When the oldest change came that is not in force; 0 for none."""
    node_eligible: bool = True

    def __post_init__(self) -> None:
        self.updated = self.clock.now()

    def queue(self) -> None:
        if not self.queued:
            self.queued = self.clock.now()

    def done(self) -> None:
        self.queued = 0
        self.updated = self.clock.now()

    @property
    def healthy(self) -> bool:
        return not self.queued or self.clock.now() - self.queued < self.patience_s

    def see_node(self, node: Json | None) -> None:
        """Deleted, being deleted or tainted for it: no new traffic should be sent here."""
        meta = (node or {}).get("metadata") or {}
        taints = ((node or {}).get("spec") or {}).get("taints") or ()
        self.node_eligible = (
            node is not None
            and not meta.get("deletionTimestamp")
            and all(taint.get("key") != DELETION_TAINT for taint in taints)
        )

    def report(self, *, with_node: bool) -> tuple[int, Json]:
        """Status and body of /healthz (with the node's part) or /livez."""
        now, well = self.clock.now(), self.healthy
        last = _stamp(now if well else self.updated)
        body: Json = {"lastUpdated": last, "currentTime": _stamp(now)}
        if with_node:
            body["nodeEligible"] = self.node_eligible
        body["healthy"] = well
        family = {"lastUpdated": last, "healthy": well}
        body["status"] = dict.fromkeys(FAMILIES, family)
        good = well and (self.node_eligible or not with_node)
        return (200 if good else 503), body


def _stamp(when: float) -> str:
    moment = datetime.datetime.fromtimestamp(when, datetime.UTC)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def text(body: str, status: int = 200) -> Response:
    return Response(status, dict(TEXT), body.encode())


def not_found() -> Response:
    return text("404 page not found\n", 404)


def health_pages(state: Wellbeing, count: Callable[[str, int], None]) -> Handler:
    """The handler of the health port; `count(page, status)` is for the figures."""

    async def handle(request: Request) -> Response:
        if request.path not in ("/healthz", "/livez"):
            return not_found()
        status, body = state.report(with_node=request.path == "/healthz")
        count(request.path[1:], status)
        return Response(status, dict(JSON), json.dumps(body).encode())

    return handle


def service_page(key: Key, local: Callable[[], int], healthy: Callable[[], bool]) -> Handler:
    """The handler of one health check node port: any path, one answer."""

    async def handle(_: Request) -> Response:
        count, well = local(), healthy()
        body = {
            "service": {"namespace": key.namespace, "name": key.name},
            "localEndpoints": count,
            "serviceProxyHealthy": well,
        }
        headers = {**JSON, "X-Load-Balancing-Endpoint-Weight": str(count)}
        status = 200 if count and well else 503
        return Response(status, headers, json.dumps(body).encode())

    return handle


@dataclass(slots=True)
class _Port:
    key: Key
    count: int
    servers: dict[str, Server] = field(default_factory=dict)
    """By the address that they listen at."""
    failed: dict[str, str] = field(default_factory=dict)
    """Why there is none at an address: said once, tried again at every sync."""


Refused = Callable[[Key, str], None]
"""Told when a Service's port cannot be opened, and why."""


@dataclass(slots=True)
class HealthPorts:
    """The open health check node ports. `addresses` empty means every local one."""

    healthy: Callable[[], bool]
    addresses: tuple[str, ...] = ()
    refused: Refused = lambda *_: None
    ports: dict[int, _Port] = field(default_factory=dict)
    open: Callable[[Handler, str, int], Awaitable[Server]] = field(default_factory=lambda: _listen)

    async def sync(self, wanted: Mapping[Key, Health]) -> None:
        """Open what is new or could not be opened before, close what is gone, and remember the
        counts.
        """
        by_port = {health.port: (key, health) for key, health in wanted.items()}
        for number in [n for n, one in self.ports.items() if by_port.get(n, (None,))[0] != one.key]:
            await self._close(number)
        for number, (key, health) in by_port.items():
            port = self.ports.setdefault(number, _Port(key, 0))
            port.count = health.local_endpoints
            await self._open(number, port)

    @property
    def waiting(self) -> bool:
        """Whether a port is somebody else's."""
        return any(port.failed for port in self.ports.values())

    async def again(self) -> None:
        """Try once more to open what could not be opened."""
        for number, port in self.ports.items():
            if port.failed:
                await self._open(number, port)

    async def close(self) -> None:
        for number in list(self.ports):
            await self._close(number)

    async def _open(self, number: int, port: _Port) -> None:
        """Listen at all addresses and at no others."""
        addresses = self.addresses or ("::",)
        for address in [one for one in port.servers if one not in addresses]:
            await port.servers.pop(address).close(0)
        page = service_page(port.key, lambda: port.count, self.healthy)
        failed = {}
        for address in [one for one in addresses if one not in port.servers]:
            try:
                port.servers[address] = await self.open(page, address, number)
            except OSError as error:
                failed[address] = error.strerror or str(error)
        for address, why in failed.items():
            if port.failed.get(address) != why:
                self._say(number, port.key, address, why)
        port.failed = failed

    def _say(self, number: int, key: Key, address: str, why: str) -> None:
        _LOG.error(
            "a health check node port cannot be opened",
            service=key,
            address=address,
            port=number,
            why=why,
        )
        self.refused(key, f"node {address} failed to start healthcheck on port {number}: {why}")

    async def _close(self, number: int) -> None:
        for server in self.ports.pop(number).servers.values():
            await server.close(0)


async def _listen(handler: Handler, address: str, port: int) -> Server:
    """`::` stands for both families; without IPv6 the old wildcard does."""
    try:
        sock = listener(address, port)
    except OSError:
        if address != "::":
            raise
        sock = listener("0.0.0.0", port)
    return await serve(handler, sock=sock, name="health-check-node-port")
