"""Leader election on a Lease: of several copies of a component one works, the others wait.

The holder renews; whoever sees that the Lease has not changed for its whole duration, by its own
clock, may take it. Clocks of different machines are never compared (as client-go does it).
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from sampan.api import kinds
from sampan.api.errors import AlreadyExists, ApiError, Conflict
from sampan.api.meta import Json
from sampan.client.client import Client
from sampan.client.transport import Unreachable
from sampan.client.trouble import told
from sampan.loop.component import Component
from sampan.std import log
from sampan.std.clock import Clock
from sampan.std.metrics import Registry

_LOG = log.get("leader")
RELEASE_S = 0.5
HEALTHY_S = 20.0
"""Grace beyond the lease's duration before a leader counts as ill; upstream's."""


class LostLease(Exception):
    """We could not renew in time; somebody else may be working by now, so we must not."""


@dataclass(frozen=True, slots=True)
class Election:
    """Which Lease, who we are, and the times; the defaults are upstream's."""

    name: str
    identity: str
    namespace: str = "kube-system"
    duration_s: int = 15
    renew_deadline_s: float = 10
    retry_s: float = 2


def identity() -> str:
    """Who this copy is: the machine's name and a number that nobody else draws, as upstream."""
    return f"{socket.gethostname()}_{uuid.UUID(bytes=os.urandom(16), version=4)}"


class Leader:
    """A component that runs another one while it holds the Lease."""

    def __init__(
        self, election: Election, component: Component, client: Client, clock: Clock
    ) -> None:
        self._election = election
        self._component = component
        self._client = client
        self._clock = clock
        self._observed: tuple[str, str] = ("", "")
        self._observed_at = float("-inf")
        self.leading = False
        self._held = False
        self._renewed_at = float("-inf")

    def measure(self, registry: Registry) -> None:
        """Whether this copy is the one that works, by the name that client-go has."""
        family = registry.known_gauge(
            "leader_election_master_status", "1 while this copy works, 0 in reserve.", ("name",)
        )
        family.labels(self._election.name).read_from(lambda: float(self.leading))

    @property
    def name(self) -> str:
        return self._component.name

    async def run(self, started: Callable[[], None]) -> None:
        """Wait for the Lease, then work and renew. Raises LostLease. Started counts as soon as we
        wait: a copy in reserve is as healthy as a working one.
        """
        started()
        await self._acquire()
        self.leading = True
        if self._client.trouble.over():
            _LOG.info("the API server answers again")
        _LOG.info("leading", lease=self._election.name, identity=self._election.identity)
        try:
            async with asyncio.TaskGroup() as group:
                work = group.create_task(self._work())
                renewing = group.create_task(self._renew())
                work.add_done_callback(lambda _: renewing.cancel())
        except* LostLease as lost:
            raise lost.exceptions[0] from None
        finally:
            self.leading = False

    def overdue(self) -> str:
        """For a health check: a leader that has long failed to renew, and still works, is ill."""
        silent_s = self._clock.monotonic() - self._renewed_at
        if self.leading and silent_s > self._election.duration_s + HEALTHY_S:
            return f"the lease {self._election.name} was not renewed for {silent_s:.0f} s"
        return ""

    async def release(self) -> None:
        """Give the Lease back if it is ours, so that the next one need not wait; for an orderly
        end, when the component has stopped. Nobody waits for it long.
        """
        if not self._held:
            return
        try:
            async with asyncio.timeout(RELEASE_S):
                await self._give_back()
        except (ApiError, Unreachable, TimeoutError) as error:
            _LOG.debug("the lease could not be given back", error=error)

    async def _give_back(self) -> None:
        election = self._election
        lease = await self._client.find(kinds.LEASES, election.name, election.namespace)
        if lease is None or lease["spec"].get("holderIdentity") != election.identity:
            return
        ended = {"holderIdentity": "", "leaseDurationSeconds": 1}
        lease["spec"] = {**self._spec(lease["spec"]), **ended}
        await self._client.update(kinds.LEASES, lease)

    async def _work(self) -> None:
        await self._component.run(lambda: None)
        raise LostLease(f"{self._component.name} ended by itself")

    async def _acquire(self) -> None:
        while not await self._try():
            await self._clock.sleep(self._election.retry_s * (1 + 0.2 * random.random()))

    async def _renew(self) -> None:
        renewed = self._clock.monotonic()
        while True:
            await self._clock.sleep(self._election.retry_s)
            if await self._try():
                renewed = self._clock.monotonic()
            elif self._clock.monotonic() - renewed >= self._election.renew_deadline_s:
                raise LostLease(f"the lease {self._election.name} could not be renewed in time")

    async def _try(self) -> bool:
        try:
            async with asyncio.timeout(self._election.renew_deadline_s):
                held = await self._take_or_renew()
                self._held = self._held or held
                if held:
                    self._renewed_at = self._clock.monotonic()
                return held
        except (Conflict, AlreadyExists) as error:
            _LOG.debug("somebody was quicker", lease=self._election.name, error=error)
            return False
        except (ApiError, Unreachable, TimeoutError) as error:
            is_news = self._client.trouble.news(error, self._clock.monotonic())
            tell = _LOG.error if is_news else _LOG.debug
            lease = f"{self._election.namespace}/{self._election.name}"
            tell("waiting: cannot take or renew the lease", lease=lease, why=told(error))
            return False

    async def _take_or_renew(self) -> bool:
        election = self._election
        lease = await self._client.find(kinds.LEASES, election.name, election.namespace)
        if lease is None:
            fresh: Json = {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": election.name, "namespace": election.namespace},
                "spec": self._spec({}),
            }
            await self._client.create(kinds.LEASES, fresh)
            return True
        spec = lease.get("spec") or {}
        seen = (spec.get("holderIdentity") or "", spec.get("renewTime") or "")
        if seen != self._observed:
            self._observed, self._observed_at = seen, self._clock.monotonic()
        if seen[0] not in ("", election.identity) and not self._expired(spec):
            return False
        await self._client.update(kinds.LEASES, {**lease, "spec": self._spec(spec)})
        return True

    def _expired(self, spec: Json) -> bool:
        duration = spec.get("leaseDurationSeconds") or self._election.duration_s
        return self._clock.monotonic() - self._observed_at > float(duration)

    def _spec(self, old: Json) -> Json:
        now = datetime.fromtimestamp(self._clock.now(), tz=UTC)
        stamp = now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        ours = old.get("holderIdentity") == self._election.identity
        return {
            "holderIdentity": self._election.identity,
            "leaseDurationSeconds": self._election.duration_s,
            "acquireTime": old.get("acquireTime", stamp) if ours else stamp,
            "renewTime": stamp,
            "leaseTransitions": int(old.get("leaseTransitions") or 0) + (0 if ours else bool(old)),
        }
