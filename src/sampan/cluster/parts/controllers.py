"""The controllers, alone or beside others: flags to a running component with its health page and
leader election.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from sampan.api.errors import ApiError
from sampan.client.client import Client
from sampan.client.kubeconfig import Connection
from sampan.client.transport import Unreachable
from sampan.cluster import pki
from sampan.cluster.accounttokens import AccountTokens
from sampan.controllers.assembly import Controllers
from sampan.controllers.deps import Deps, Settings
from sampan.loop.component import Component
from sampan.loop.informers import Informers
from sampan.loop.leader import Election, Leader
from sampan.std.clock import Clock, SystemClock
from sampan.std.http import Request, Response
from sampan.std.httpd import Server, listener, serve
from sampan.std.metrics import CONTENT_TYPE, Registry
from sampan.std.tls import server_context

LEASE = "kube-controller-manager"
USER = "system:kube-controller-manager"


class BadFlag(Exception):
    """A flag cannot be used; the message names it."""


@dataclass(frozen=True, slots=True)
class Flags:
    """kube-controller-manager's, as far as they mean something here."""

    controllers: tuple[str, ...] = ("*",)
    cluster_cidr: str = ""
    allocate_node_cidrs: bool = False
    node_cidr_mask_size: int = 0
    node_monitor_grace_period_s: float = 50
    node_monitor_period_s: float = 5
    terminated_pod_gc_threshold: int = 12500
    root_ca_file: str = ""
    cluster_signing_cert_file: str = ""
    cluster_signing_key_file: str = ""
    cluster_signing_duration_s: float = 365 * 24 * 3600
    service_account_private_key_file: str = ""
    use_service_account_credentials: bool = False
    leader_elect: bool = True
    bind_address: str = "0.0.0.0"
    secure_port: int = 10257
    """Of the health page, over TLS with a certificate made for this run; 0 = none."""


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
        terminated_pod_threshold=flags.terminated_pod_gc_threshold,
        root_ca=_read("--root-ca-file", flags.root_ca_file).decode(),
        service_account_key=_read(
            "--service-account-private-key-file", flags.service_account_private_key_file
        ),
        signing_cert=_read("--cluster-signing-cert-file", flags.cluster_signing_cert_file),
        signing_key=_read("--cluster-signing-key-file", flags.cluster_signing_key_file),
        signing_duration_s=flags.cluster_signing_duration_s,
    )
    if flags.node_cidr_mask_size:
        return replace(made, node_cidr_mask_ipv4=flags.node_cidr_mask_size)
    return made


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
        tokens = AccountTokens(client, self.clock)
        own = self.flags.use_service_account_credentials
        controllers = build(
            tokens.client_for if own else lambda user: client,
            settings(self.flags),
            names=self.flags.controllers,
            clock=self.clock,
        )
        self.registry.process()
        controllers.measure(self.registry)
        component: Component = controllers
        leader: Leader | None = None
        if self.flags.leader_elect:
            identity = f"{socket.gethostname()}_{os.getpid()}"
            leader = Leader(Election(LEASE, identity), component, client, self.clock)
            component = leader
        servers = await self._open()
        try:
            async with asyncio.TaskGroup() as group:
                if own:
                    group.create_task(tokens.keep(await tokens.fetch()))
                await component.run(started)
        finally:
            if leader is not None:
                await _release(leader)
            for server in servers:
                await server.close(0)
            await client.close()

    async def _open(self) -> list[Server]:
        """The health page, if there is to be one. Raises BadFlag."""
        port, host = self.flags.secure_port, self.flags.bind_address
        if not port:
            return []
        try:
            sock = listener(host, port)
        except OSError as error:
            where = f"{host}:{port}"
            text = f"--secure-port: cannot listen on {where}: {error.strerror}; 0 turns it off"
            raise BadFlag(text) from error
        pair = pki.new_authority(LEASE).issue(pki.Subject("localhost", names=("localhost",)))
        tls = server_context(pair.certificate, pair.key)
        return [await serve(self.page, sock=sock, tls=tls, name="health")]

    async def page(self, request: Request) -> Response:
        """`/healthz` and its siblings, `/metrics`."""
        if request.path in ("/healthz", "/livez", "/readyz"):
            return Response(200, {"content-type": "text/plain; charset=utf-8"}, b"ok")
        if request.path == "/metrics":
            page = self.registry.render().encode()
            return Response(200, {"content-type": CONTENT_TYPE}, page)
        return Response(404, {"content-type": "text/plain; charset=utf-8"}, b"not found\n")


async def _release(leader: Leader) -> None:
    """An orderly end lets the next one lead at once; nobody waits for it long."""
    with contextlib.suppress(ApiError, Unreachable, TimeoutError):
        async with asyncio.timeout(0.5):
            await leader.release()


def _read(flag: str, path: str) -> bytes:
    if not path:
        return b""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise BadFlag(f"{flag}: cannot read {path}: {error.strerror}") from error
