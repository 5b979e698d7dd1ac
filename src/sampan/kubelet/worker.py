"""The life of one pod on the node, from its first sync to its last trace.

live    plan, do, say; again whenever something changed or a time has come
end     containers with their grace, then sandbox and volumes; the status tells the rest
bury    the object goes from the API, then everything that was kept for it
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from sampan.api import kinds
from sampan.api.meta import Json
from sampan.kubelet import pods
from sampan.kubelet.kit import NORMAL, WARNING, Kit
from sampan.kubelet.network import NetworkNotReady
from sampan.kubelet.objects import VolumeFailure
from sampan.kubelet.observed import Observed, name_of
from sampan.kubelet.patience import Patience
from sampan.kubelet.plan import Kill, Plan, plan
from sampan.kubelet.pods import Role
from sampan.kubelet.podsandbox import PodSandbox
from sampan.kubelet.saying import Saying
from sampan.kubelet.starting import Setting, start
from sampan.kubelet.stopping import stop
from sampan.kubelet.volumes.manager import Volume
from sampan.linux.base.processes import ContainerState, RuntimeFailure
from sampan.std import log
from sampan.std.backoff import Backoff

KEPT_RUNS = 2
"""Of each container: the newest, and the one before for its log."""
MAX_STEPS = 50
SETTLE_S = 5.0
PREPARE = Backoff(first_s=0.1, factor=2, cap_s=30)
_LOG = log.get("kubelet")


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a pod has to end. `failure` (reason, message) makes its phase Failed."""

    failure: tuple[str, str] | None = None
    deleted: bool = False
    """It is going, or has gone, from the API."""


class Worker:
    """One pod; `sync` is never called twice at a time, the others may be at any time."""

    def __init__(self, kit: Kit, pod: Json) -> None:
        self.kit = kit
        self.pod = pod
        self.mirror: Json | None = None
        """The API's copy of a static pod."""
        self.ending: Ending | None = None
        self.stopping = False
        self.killed = False
        self.buried = False
        self.sandbox = PodSandbox(kit)
        self.saying = Saying(kit)
        self.patience = Patience(kit)
        self._volumes: dict[str, Volume] | None = None
        self._failures = 0
        self._ended = asyncio.Event()

    def update(self, pod: Json) -> None:
        """The newest object. A deletion mark makes it end; a shorter grace is noticed meanwhile."""
        self.pod = pod
        if pod["metadata"].get("deletionTimestamp"):
            self.end(Ending(deleted=True))
        elif pods.is_finished(pod) and self.saying.status is None:
            self.end(Ending())  # it had its life before this kubelet was born

    def end(self, why: Ending) -> None:
        """The first reason stays; that it is deleted is added."""
        self._ended.set()
        if self.ending is None:
            self.ending = why
        elif why.deleted:
            self.ending = Ending(self.ending.failure, deleted=True)

    async def sync(self) -> float | None:
        """Do what is to be done now; seconds until it wants to be asked again."""
        self._note_deadline()
        if self.ending is None:
            again = await self._unless_ended(self._live())
            if self.ending is None:
                return again
        if not self.killed:
            await self._end()
        if self.ending is not None and self.ending.deleted and not self.buried:
            await self._bury()
        return None

    def say_while_ending(self) -> None:
        """Its containers are being stopped, which may take long: whether they still are ready, and
        which have ended, is told meanwhile.
        """
        if self.stopping:
            self._say()

    async def refresh_volumes(self) -> None:
        """Bring what volumes show up to date."""
        if self._volumes is not None and self.ending is None:
            with contextlib.suppress(VolumeFailure):
                facts = self.kit.facts(self.pod, self._seen().ips)
                await self.kit.volumes.refresh(self.pod, facts)

    # -- living

    async def _unless_ended(self, work: Coroutine[Any, Any, float | None]) -> float | None:
        """What waits (for the network, a hook, a volume) is given up when the pod has to end."""
        working = asyncio.ensure_future(work)
        ending = asyncio.ensure_future(self._ended.wait())
        try:
            await asyncio.wait({working, ending}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                return working.result()
        finally:
            for task in (working, ending):
                task.cancel()
            await asyncio.wait({working, ending})
        await self.kit.runtime.recover(pods.uid_of(self.pod))
        return None

    async def _live(self) -> float | None:
        self._say(lazily=True)
        step = Plan()
        for _ in range(MAX_STEPS):
            try:
                await self._prepare()
            except (VolumeFailure, RuntimeFailure, NetworkNotReady, OSError) as error:
                self._failures += 1
                _LOG.warning("cannot prepare", pod=pods.full_name(self.pod), error=error)
                return PREPARE.delay(self._failures - 1)
            self._failures = 0
            seen = self._seen()
            step = plan(self.pod, seen, self.kit.prober.health(), self.patience.left_s_of(self.pod))
            if step.done:
                self.end(Ending())
            if self.ending is not None:
                return None
            if step.create_sandbox:
                await self.sandbox.create(self.pod, seen)
            elif step.kill:
                await self._kill(step.kill)
            elif not await self._start(step, seen):
                break
        self.patience.note(self.pod, step)
        self._say()
        return self.patience.next_look(step, self._active_until())

    async def _prepare(self) -> None:
        """Volumes and sandbox at the same time: neither needs the other."""
        seen = self._seen()
        if self._volumes is not None and self.sandbox.is_ready(seen):
            return
        step = plan(self.pod, seen, self.kit.prober.health(), self.patience.left_s_of(self.pod))
        box = seen.sandbox
        jobs = []
        if self._volumes is None and not step.done:
            jobs.append(self._set_up_volumes(seen))
        if step.create_sandbox:
            jobs.append(self.sandbox.create(self.pod, seen))
        elif box is not None and box.ready and not self.sandbox.is_ready(seen):
            jobs.append(self.sandbox.attach(self.pod, box.spec.id, box.netns))
        # One that fails must not cancel the other in the middle of what it does.
        for outcome in await asyncio.gather(*jobs, return_exceptions=True):
            if outcome is not None:
                raise outcome

    async def _set_up_volumes(self, seen: Observed) -> None:
        try:
            facts = self.kit.facts(self.pod, seen.ips)
            self._volumes = await self.kit.volumes.set_up(self.pod, facts)
        except VolumeFailure as failure:
            self.kit.tell(self.pod, WARNING, "FailedMount", str(failure))
            raise

    async def _start(self, step: Plan, seen: Observed) -> bool:
        """Start what may start; whether something was, so that it is worth planning anew."""
        any_started = False
        for name in step.start:
            found = pods.container_named(self.pod, name)
            if found is None or self.patience.is_held(self.pod, found[1]):
                continue
            self.patience.tries(self.pod, found[1], seen.newest(name))
            here = Setting(self.pod, self._seen(), self._volumes or {}, self.sandbox.hostname)
            hold = await start(self.kit, here, found[1])
            if hold is not None:
                self.patience.holds[name] = hold
            any_started = any_started or hold is None
            await self._drop_old_runs(name)
            if self.ending is not None:
                break
        return any_started

    async def _drop_old_runs(self, name: str) -> None:
        for old in self._seen().containers.get(name, ())[KEPT_RUNS:]:
            await self.kit.runtime.remove(old.spec.id)
            self.saying.forget(old.spec.id)
            with contextlib.suppress(OSError):
                os.unlink(old.spec.output.path)

    async def _kill(self, kills: tuple[Kill, ...]) -> None:
        async with asyncio.TaskGroup() as group:
            for kill in kills:
                found = pods.container_named(self.pod, name_of(kill.state))
                if found is not None:
                    grace = _probe_grace_s(self.pod, found[1], kill.probe)
                    group.create_task(self._stop(found[1], kill.state, grace, kill.message))

    async def _stop(
        self, wanted: Json, state: ContainerState, grace_s: float, message: str = ""
    ) -> None:
        begun = self.kit.clock.monotonic()

        def deadline() -> float:
            allowed = grace_s if self.ending is None else min(grace_s, self._grace_s())
            return begun + allowed

        await stop(self.kit, self.pod, wanted, state, deadline, message)

    # -- ending

    async def _end(self) -> None:
        self._say()
        self.stopping = True
        try:
            await self._stop_all()
        finally:
            self.stopping = False
        self._say(terminated=True)
        for box in self._seen().sandboxes:
            await self.sandbox.remove(self.pod, box.spec.id, box.netns)
        self._say(terminated=True)
        await self.kit.volumes.take_down(pods.uid_of(self.pod))
        self._volumes = None
        self.killed = True

    async def _stop_all(self) -> None:
        """Sidecars last, in the reverse of the order in which they were started."""
        roles = {container["name"]: (role, container) for role, container in self._containers()}
        running = {name_of(state): state for state in self._seen().running()}
        grace = self._grace_s()
        async with asyncio.TaskGroup() as group:
            for name, state in running.items():
                if name in roles and roles[name][0] is not Role.SIDECAR:
                    group.create_task(self._stop(roles[name][1], state, grace))
        for role, container in reversed(self._containers()):
            if role is Role.SIDECAR and container["name"] in running:
                await self._stop(container, running[container["name"]], grace)

    async def _bury(self) -> None:
        """Nothing of it runs: let the API forget it, then forget it here."""
        kit, uid = self.kit, pods.uid_of(self.pod)
        api = self._api_pod()
        if api is not None and api["metadata"].get("deletionTimestamp"):
            meta = api["metadata"]
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SETTLE_S):
                    await kit.statuses.settled(meta["uid"])
            await kit.objects.client.delete(
                kinds.PODS, meta["name"], meta["namespace"], grace_s=0, uid=meta["uid"]
            )
        await kit.runtime.forget(uid)
        self.patience.forget(uid)
        await kit.offload(shutil.rmtree, kit.places.logs(self.pod), True)
        if api is not None:
            kit.statuses.forget(api["metadata"]["uid"])
        self.buried = True

    def _grace_s(self) -> float:
        """Never nothing: even a forced deletion leaves a second to hear the signal."""
        return max(1.0, float(pods.grace_s(self.pod)))

    # -- seeing and saying

    def _seen(self) -> Observed:
        return self.kit.runtime.observe(pods.uid_of(self.pod))

    def _containers(self) -> list[tuple[Role, Json]]:
        return list(pods.containers(self.pod))

    def _api_pod(self) -> Json | None:
        return self.mirror if pods.is_static(self.pod) else self.pod

    def _say(self, *, terminated: bool = False, lazily: bool = False) -> None:
        failure = self.ending.failure if self.ending is not None else None
        self.saying.say(
            self.pod,
            self._api_pod(),
            self.patience.holds,
            failure=failure,
            terminated=terminated,
            lazily=lazily,
        )

    def _active_until(self) -> float | None:
        limit = self.pod["spec"].get("activeDeadlineSeconds")
        begun = self.saying.started_at(self.pod)
        return None if limit is None or begun is None else begun + float(limit)

    def _note_deadline(self) -> None:
        until = self._active_until()
        if until is not None and self.ending is None and self.kit.clock.now() >= until:
            text = "Pod was active on the node longer than the specified deadline"
            self.kit.tell(self.pod, NORMAL, "DeadlineExceeded", text)
            self.end(Ending(failure=("DeadlineExceeded", text)))


def _probe_grace_s(pod: Json, container: Json, probe: str) -> float:
    """A probe may give a container another grace than its pod does."""
    spec = container.get(f"{probe.lower()}Probe") or {} if probe else {}
    own = spec.get("terminationGracePeriodSeconds")
    return float(own if own is not None else pods.grace_s(pod))
