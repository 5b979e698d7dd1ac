"""The controllers, alone or beside others: flags to a running component with its health page and
leader election.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from sampan.api.errors import from_status
from sampan.client.client import Client
from sampan.client.kubeconfig import Connection
from sampan.client.transport import Unreachable
from sampan.client.trouble import told
from sampan.cluster.accounttokens import AccountTokens
from sampan.cluster.parts.pages import Pages, Serving, count_requests
from sampan.controllers.assembly import Controllers
from sampan.controllers.deps import Deps, Settings
from sampan.controllers.node_zones import Rates
from sampan.loop.component import Component
from sampan.loop.informers import Informers
from sampan.loop.leader import Election, Leader, identity
from sampan.std.clock import Clock, SystemClock
from sampan.std.http import Request
from sampan.std.metrics import Registry

LEASE = "kube-controller-manager"
USER = "system:kube-controller-manager"


REACH_S = 10.0
REACH_EVERY_S = 1.0


class NoServer(Exception):
    """The API server is not there, or not well; the message says where and why."""


class BadFlag(Exception):
    """A flag cannot be used; the message names it."""


@dataclass(frozen=True, slots=True)
class Flags:
    """kube-controller-manager's, as far as they mean something here."""

    controllers: tuple[str, ...] = ("*",)
    cluster_cidr: str = ""
    allocate_node_cidrs: bool = False
    node_cidr_mask_size: int = 0
    node_cidr_mask_size_ipv4: int = 0
    node_cidr_mask_size_ipv6: int = 0
    node_monitor_grace_period_s: float = 50
    node_monitor_period_s: float = 5
    node_startup_grace_period_s: float = 60
    node_eviction_rate: float = 0.1
    secondary_node_eviction_rate: float = 0.01
    unhealthy_zone_threshold: float = 0.55
    large_cluster_size_threshold: int = 50
    terminated_pod_gc_threshold: int = 12500
    root_ca_file: str = ""
    cluster_signing_cert_file: str = ""
    cluster_signing_key_file: str = ""
    cluster_signing_duration_s: float = 365 * 24 * 3600
    service_account_private_key_file: str = ""
    use_service_account_credentials: bool = False
    leader_elect: bool = True
    election: Election = field(default_factory=lambda: Election(LEASE, identity()))
    serving: Serving = field(default_factory=Serving)


def settings(flags: Flags) -> Settings:
    """The flags with their files read. Raises BadFlag."""
    cidrs = tuple(part.strip() for part in flags.cluster_cidr.split(",") if part.strip())
    for cidr in cidrs:
        try:
            ipaddress.ip_network(cidr, strict=False)
        except ValueError as error:
            raise BadFlag(f"--cluster-cidr: {error}") from error
    if flags.allocate_node_cidrs and not cidrs:
        raise BadFlag("--allocate-node-cidrs needs --cluster-cidr")
    made = Settings(
        cluster_cidrs=cidrs,
        allocate_node_cidrs=flags.allocate_node_cidrs,
        node_monitor_grace_s=flags.node_monitor_grace_period_s,
        node_monitor_period_s=flags.node_monitor_period_s,
        node_startup_grace_s=flags.node_startup_grace_period_s,
        eviction_rates=Rates(
            flags.node_eviction_rate,
            flags.secondary_node_eviction_rate,
            flags.unhealthy_zone_threshold,
            flags.large_cluster_size_threshold,
        ),
        terminated_pod_threshold=flags.terminated_pod_gc_threshold,
        root_ca=_read("--root-ca-file", flags.root_ca_file).decode(),
        service_account_key=_read(
            "--service-account-private-key-file", flags.service_account_private_key_file
        ),
        signing_cert=_read("--cluster-signing-cert-file", flags.cluster_signing_cert_file),
        signing_key=_read("--cluster-signing-key-file", flags.cluster_signing_key_file),
        signing_duration_s=flags.cluster_signing_duration_s,
    )
    if flags.node_cidr_mask_size and len(cidrs) > 1:
        raise BadFlag(
            "--node-cidr-mask-size is for one family; use --node-cidr-mask-size-ipv4 and -ipv6"
        )
    v6 = bool(cidrs) and ipaddress.ip_network(cidrs[0], strict=False).version == 6
    one = flags.node_cidr_mask_size
    ipv4 = flags.node_cidr_mask_size_ipv4 or (0 if v6 else one)
    ipv6 = flags.node_cidr_mask_size_ipv6 or (one if v6 else 0)
    return replace(
        made,
        node_cidr_mask_ipv4=ipv4 or made.node_cidr_mask_ipv4,
        node_cidr_mask_ipv6=ipv6 or made.node_cidr_mask_ipv6,
    )


def build(
    client_for: Callable[[str], Client],
    chosen: Settings,
    *,
    names: tuple[str, ...] = ("*",),
    clock: Clock | None = None,
) -> Controllers:
    """The controllers as one component. `client_for(user)` gives a client with that identity: the
    shared caches belong to system:kube-controller-manager, each controller writes as its own
    service account.
    """
    clock = clock or SystemClock()
    own = client_for(USER)
    return Controllers(Deps(own, Informers(own, clock), clock, chosen, client_for), names)


@dataclass
class Alone:
    """The component that `sampan controllers` runs: health page, election, controllers."""

    connection: Connection
    flags: Flags
    clock: Clock = field(default_factory=SystemClock)
    name: str = "controllers"
    registry: Registry = field(default_factory=Registry)

    async def run(self, started: Callable[[], None]) -> None:
        client = self.connection.client("kube-controller-manager")
        count_requests(client, self.registry)
        tokens = AccountTokens(client, self.clock)
        own = self.flags.use_service_account_credentials
        controllers = build(
            tokens.client_for if own else lambda user: client,
            settings(self.flags),
            names=self.flags.controllers,
            clock=self.clock,
        )
        controllers.measure(self.registry)
        component: Component = Work(client, controllers, tokens if own else None, self.clock)
        leader: Leader | None = None
        if self.flags.leader_elect:
            leader = Leader(self.flags.election, component, client, self.clock)
            leader.measure(self.registry)
            component = leader
        pages = Pages(
            LEASE, self.registry, self.flags.serving, self.connection, self.clock,
            checks={"leaderElection": leader.overdue} if leader is not None else {},
        )  # fmt: skip
        servers = await pages.open()
        try:
            await component.run(started)
        finally:
            if leader is not None:
                await asyncio.shield(leader.release())
            for server in servers:
                await server.close(0)
            await client.close()


@dataclass
class Work:
    """The controllers behind a server that is there; where each is its own service account, their
    tokens first, and kept fresh beside.
    """

    client: Client
    controllers: Controllers
    tokens: AccountTokens | None
    clock: Clock
    name: str = "controllers"

    async def run(self, started: Callable[[], None]) -> None:
        await self._reach()
        async with asyncio.TaskGroup() as group:
            if self.tokens is not None:
                group.create_task(self.tokens.keep(await self.tokens.first()))
            group.create_task(self.controllers.run(started))

    async def _reach(self) -> None:
        """As upstream, a server gets ten seconds to say that it is well. Raises NoServer."""
        until = self.clock.monotonic() + REACH_S
        while True:
            try:
                answer = await self.client.raw(Request("GET", "/healthz"), timeout_s=REACH_S)
                body = await answer.read()
                if answer.status == 200:
                    return
                why = told(from_status({"message": body.decode(errors="replace")}, answer.status))
            except Unreachable as error:
                why = told(error)
            if self.clock.monotonic() >= until:
                raise NoServer(f"{why} (waited {REACH_S:.0f} s)")
            await self.clock.sleep(REACH_EVERY_S)


def _read(flag: str, path: str) -> bytes:
    if not path:
        return b""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise BadFlag(f"{flag}: cannot read {path}: {error.strerror}") from error
