"""The scheduler, alone or beside others: a client to a running component, with its health page and
leader election.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sampan.api.meta import Json
from sampan.client.client import Client
from sampan.client.kubeconfig import Connection
from sampan.cluster.parts.pages import Pages, Serving, count_requests
from sampan.loop.component import Component
from sampan.loop.events import Recorder
from sampan.loop.informers import Informers
from sampan.loop.leader import Election, Leader, identity
from sampan.scheduler.decision import Profile
from sampan.scheduler.metrics import Metrics
from sampan.scheduler.scheduler import Scheduler, Settings
from sampan.std.clock import Clock, SystemClock

LEASE = "kube-scheduler"


@dataclass(frozen=True, slots=True)
class Flags:
    """kube-scheduler's, as far as they mean something here."""

    profiles: tuple[Profile, ...] = (Profile(),)
    leader_elect: bool = True
    election: Election = field(default_factory=lambda: Election(LEASE, identity()))
    serving: Serving = field(default_factory=Serving)
    shown: Mapping[str, Json] = field(default_factory=dict)
    """The configuration, for /configz."""


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
    """A component: election, pages, and the scheduler behind them."""

    connection: Connection
    flags: Flags
    metrics: Metrics = field(default_factory=Metrics)
    clock: Clock = field(default_factory=SystemClock)
    name: str = "scheduler"

    async def run(self, started: Callable[[], None]) -> None:
        flags, registry = self.flags, self.metrics.registry
        client = self.connection.client("kube-scheduler")
        count_requests(client, registry)
        work = build(client, flags.profiles, self.metrics, self.clock)
        leader = Leader(flags.election, work, client, self.clock) if flags.leader_elect else None
        checks = {} if leader is None else {"leaderElection": leader.overdue}
        if leader is not None:
            leader.measure(registry)
        pages = Pages(
            LEASE, registry, flags.serving, self.connection, self.clock, flags.shown, checks
        )
        servers = await pages.open()
        try:
            await (leader or work).run(started)
        finally:
            if leader is not None:
                await asyncio.shield(leader.release())
            for server in servers:
                await server.close(0)
            await client.close()
