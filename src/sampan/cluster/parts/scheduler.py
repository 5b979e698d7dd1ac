"""The scheduler, alone or beside others: a client to a running component, with its health page and
leader election.
"""

from __future__ import annotations

import asyncio
import os
import socket
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from sampan.client.client import Client
from sampan.cluster import pki
from sampan.loop.component import Component
from sampan.loop.events import Recorder
from sampan.loop.informers import Informers
from sampan.loop.leader import Election, Leader
from sampan.scheduler.decision import Profile
from sampan.scheduler.metrics import Metrics
from sampan.scheduler.scheduler import Scheduler, Settings
from sampan.std.clock import Clock, SystemClock
from sampan.std.http import Request, Response
from sampan.std.httpd import Server, listener, serve
from sampan.std.metrics import CONTENT_TYPE
from sampan.std.tls import server_context

LEASE = "kube-scheduler"
SECURE = "--secure-port"


@dataclass(frozen=True, slots=True)
class Flags:
    """kube-scheduler's, as far as they mean something here."""

    profiles: tuple[Profile, ...] = (Profile(),)
    leader_elect: bool = True
    lease_name: str = LEASE
    lease_namespace: str = "kube-system"
    lease_duration_s: int = 15
    renew_deadline_s: float = 10
    retry_period_s: float = 2
    bind_address: str = "127.0.0.1"
    http_port: int = 0
    """Of the health page without TLS; 0 = none."""
    secure_port: int = 0
    """Of the same page over TLS, with a certificate made for this run; 0 = none."""


class BadPort(Exception):
    """The health page cannot listen; the message names the flag."""


def build(
    client: Client,
    profiles: tuple[Profile, ...] = (Profile(),),
    metrics: Metrics | None = None,
    clock: Clock | None = None,
) -> Component:
    """The scheduler as a component, without election."""
    clock = clock or SystemClock()
    settings = Settings(profiles, metrics=metrics or Metrics())
    informers = Informers(client, clock)
    # Each profile tells events in its own name, as if it were a scheduler of its own.
    recorders = {profile.name: Recorder(client, profile.name, clock) for profile in profiles}
    scheduler = Scheduler(client, informers, recorders, clock, settings)
    return SchedulerPart(informers, tuple(recorders.values()), scheduler)


@dataclass
class SchedulerPart:
    """The scheduler with its caches and its events."""

    informers: Informers
    recorders: tuple[Recorder, ...]
    scheduler: Scheduler
    name: str = "scheduler"

    async def run(self, started: Callable[[], None]) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.informers.run(), name="scheduler informers")
            for recorder in self.recorders:
                group.create_task(recorder.run(), name="scheduler events")
            group.create_task(self.scheduler.run(started), name="scheduler")


@dataclass
class Alone:
    """A component: election, health page, and the scheduler behind them."""

    client: Client
    flags: Flags
    metrics: Metrics = field(default_factory=Metrics)
    clock: Clock = field(default_factory=SystemClock)
    name: str = "scheduler"

    async def run(self, started: Callable[[], None]) -> None:
        flags = self.flags
        work = build(self.client, flags.profiles, self.metrics, self.clock)
        leader = self._leader(work) if flags.leader_elect else None
        servers = await self._open()
        try:
            await (leader or work).run(started)
        finally:
            if leader is not None:
                await asyncio.shield(leader.release())
            for server in servers:
                await server.close(0)
            await self.client.close()

    async def _open(self) -> list[Server]:
        """The health page on the ports that are asked for. Raises BadPort."""
        made = []
        for flag, port in (("--http-port", self.flags.http_port), (SECURE, self.flags.secure_port)):
            if not port:
                continue
            where = self.flags.bind_address
            try:
                sock = listener(where, port)
            except OSError as error:
                text = f"{flag}: cannot listen on {where}:{port}: {error.strerror}; 0 turns it off"
                raise BadPort(text) from error
            tls = None
            if flag == SECURE:
                subject = pki.Subject("localhost", names=("localhost",))
                pair = pki.new_authority(LEASE).issue(subject)
                tls = server_context(pair.certificate, pair.key)
            made.append(await serve(self._page, sock=sock, tls=tls, name="scheduler health"))
        return made

    def _leader(self, work: Component) -> Leader:
        flags = self.flags
        identity = f"{socket.gethostname()}_{uuid.UUID(bytes=os.urandom(16), version=4)}"
        election = Election(
            flags.lease_name,
            identity,
            flags.lease_namespace,
            flags.lease_duration_s,
            flags.renew_deadline_s,
            flags.retry_period_s,
        )
        return Leader(election, work, self.client, self.clock)

    async def _page(self, request: Request) -> Response:
        if request.path in ("/healthz", "/livez", "/readyz"):
            return Response(200, {"content-type": "text/plain; charset=utf-8"}, b"ok")
        if request.path == "/metrics":
            text = self.metrics.registry.render()
            return Response(200, {"content-type": CONTENT_TYPE}, text.encode())
        return Response(404, {"content-type": "text/plain"}, b"404 page not found\n")
