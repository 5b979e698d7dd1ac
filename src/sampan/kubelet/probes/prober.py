"""Who is asked, how often, and what the answers add up to.

startup     nothing else is asked until it succeeds; failed = the container is killed
liveness    good until it failed often enough; then the container is killed
readiness   bad until it succeeded; never kills
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from sampan.api.meta import Json
from sampan.kubelet.plan import Health
from sampan.kubelet.pods import uid_of
from sampan.kubelet.probes.asking import Answer, Target, ask
from sampan.linux.base.processes import ContainerState, Runtime
from sampan.std.clock import Clock

KINDS = {"startup": "startupProbe", "readiness": "readinessProbe", "liveness": "livenessProbe"}
FIRST_LIVENESS_S = 1.0
"""A container has at least this long before it is asked whether it is still alive."""
EAGER_S = (0.02, 0.03, 0.05, 0.1, 0.2, 0.4)
"""Pauses between the first questions to a container that is coming up."""
Tell = Callable[[Json, Json, str], None]
"""(pod, container, message of a failed probe)."""


@dataclass(slots=True)
class _Probe:
    """One probe of one running container."""

    kind: str
    spec: Json
    good: bool
    successes: int = 0
    failures: int = 0
    failed_for_good: bool = False

    def count(self, answer: Answer) -> bool:
        """Take an answer into account; whether the result changed."""
        before = (self.good, self.failed_for_good)
        if answer.good:
            self.successes, self.failures = self.successes + 1, 0
            if self.successes >= int(self.spec.get("successThreshold") or 1):
                self.good = True
        else:
            self.successes, self.failures = 0, self.failures + 1
            if self.failures >= int(self.spec.get("failureThreshold") or 3):
                self.good = False
                self.failed_for_good = self.kind != "readiness"
        return before != (self.good, self.failed_for_good)


@dataclass(slots=True, eq=False)
class _Patient:
    """A running container that has probes."""

    pod: Json
    container: Json
    state: ContainerState
    target: Target
    probes: dict[str, _Probe]
    task: asyncio.Task[None] | None = None
    started: asyncio.Event = field(default_factory=asyncio.Event)


class Prober:
    """A component. `changed` is called with the uid whose health is another now."""

    name = "probes"

    def __init__(
        self, runtime: Runtime, clock: Clock, tell: Tell, changed: Callable[[str], None]
    ) -> None:
        self.runtime, self.clock = runtime, clock
        self.tell, self.changed = tell, changed
        self.patients: dict[str, _Patient] = {}
        self._fresh: asyncio.Queue[_Patient] = asyncio.Queue()

    async def run(self, started: Callable[[], None] = lambda: None) -> None:
        async with asyncio.TaskGroup() as group:
            started()
            while True:
                patient = await self._fresh.get()
                if self.patients.get(patient.state.spec.id) is patient:
                    patient.task = group.create_task(self._care(patient))

    def add(self, pod: Json, container: Json, state: ContainerState, ip: Callable[[], str]) -> None:
        """A container that runs; one that is known stays as it is."""
        name = state.spec.id
        probes = {
            kind: _Probe(kind, container[field_name], good=kind == "liveness")
            for kind, field_name in KINDS.items()
            if container.get(field_name)
        }
        if not probes or name in self.patients or state.exit is not None:
            return
        patient = _Patient(pod, container, state, Target(name, container, ip), probes)
        self.patients[name] = patient
        self._fresh.put_nowait(patient)

    def remove(self, container_id: str, *, only_killing: bool = False) -> None:
        """It is gone; or (`only_killing`) it is on its way out and must not be killed again."""
        patient = self.patients.get(container_id)
        if patient is None:
            return
        if only_killing:
            for kind in ("liveness", "startup"):
                patient.probes.pop(kind, None)
            if patient.probes:
                return
        del self.patients[container_id]
        if patient.task is not None:
            patient.task.cancel()

    def health(self) -> Health:
        """Of every container that is asked."""
        unstarted, unready, failed = set(), set(), dict[str, str]()
        for name, patient in self.patients.items():
            for kind, probe in patient.probes.items():
                if kind == "startup" and not probe.good:
                    unstarted.add(name)
                if kind == "readiness" and not probe.good:
                    unready.add(name)
                if probe.failed_for_good:
                    failed[name] = kind.capitalize()
        return Health(frozenset(unstarted), failed, frozenset(unready))

    async def _care(self, patient: _Patient) -> None:
        async with asyncio.TaskGroup() as group:
            for probe in list(patient.probes.values()):
                group.create_task(self._probe(patient, probe))

    async def _probe(self, patient: _Patient, probe: _Probe) -> None:
        """Ask one probe for as long as its container lives."""
        if probe.kind != "startup" and "startup" in patient.probes:
            await patient.started.wait()
        delay = float(probe.spec.get("initialDelaySeconds") or 0)
        period = float(probe.spec.get("periodSeconds") or 10)
        if probe.kind == "liveness":
            delay = max(delay, min(period, FIRST_LIVENESS_S))
        early = patient.state.started + delay - self.clock.now()
        if early > 0:
            await self.clock.sleep(early)
        answered = probe.kind != "liveness" and await self._eagerly(patient, probe, period)
        while patient.probes.get(probe.kind) is probe:
            if not answered:
                await self._once(patient, probe)
            answered = False
            if probe.kind == "startup" and probe.good:
                patient.started.set()
                return
            if probe.failed_for_good:
                return
            await self.clock.sleep(period)

    async def _eagerly(self, patient: _Patient, probe: _Probe, period: float) -> bool:
        """Ask a fresh container quickly a few times, where only a good answer counts: what needs a
        tenth of a second to come up shall not wait for a whole period. Whether it answered.
        """
        if int(probe.spec.get("successThreshold") or 1) > 1:
            return False
        timeout = float(probe.spec.get("timeoutSeconds") or 1)
        for pause in EAGER_S:
            answer = await ask(probe.spec, patient.target, self.runtime, timeout)
            if patient.probes.get(probe.kind) is not probe:
                return True
            if answer.good:
                if probe.count(answer):
                    self.changed(uid_of(patient.pod))
                return True
            if pause >= period:
                return False
            await self.clock.sleep(pause)
        return False

    async def _once(self, patient: _Patient, probe: _Probe) -> None:
        timeout = float(probe.spec.get("timeoutSeconds") or 1)
        answer = await ask(probe.spec, patient.target, self.runtime, timeout)
        if patient.probes.get(probe.kind) is not probe:
            return
        if not answer.good:
            message = f"{probe.kind.capitalize()} probe failed: {answer.text}"
            self.tell(patient.pod, patient.container, message)
        if probe.count(answer):
            self.changed(uid_of(patient.pod))
