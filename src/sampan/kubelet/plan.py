"""What has to be done next for a pod: from what is wished and what is observed, nothing else.

no sandbox ----------------> create it (or nothing, when the pod has had its run)
init containers in order --> one at a time; sidecars stay, the next waits until they started
app containers ------------> start, restart by policy and back-off, kill what is unhealthy
nothing runs or will ------> the pod is done: sidecars and sandbox go
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sampan.api.meta import Json
from sampan.kubelet.observed import CONTAINER_HASH, Observed
from sampan.kubelet.pods import Role, container_hash, containers, restart_policy
from sampan.linux.base.processes import ContainerState, Exit

Wait = Callable[[Json, ContainerState], float]
"""Seconds of back-off left before a container may follow on this run."""


@dataclass(frozen=True, slots=True)
class Health:
    """What the probes say, by container id."""

    unstarted: frozenset[str] = frozenset()
    """Running, but its startup probe has not succeeded yet."""
    failed: Mapping[str, str] = field(default_factory=dict)
    """Must be killed, by `Liveness` or `Startup`."""
    unready: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Kill:
    """A running container that must end although the pod goes on."""

    state: ContainerState
    message: str
    probe: str = ""
    """`Liveness` or `Startup` when one of them decided."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The next step. Everything in it may happen at once; then look again."""

    create_sandbox: bool = False
    done: bool = False
    """Nothing of the pod will run again: end what is left."""
    start: tuple[str, ...] = ()
    kill: tuple[Kill, ...] = ()
    held: Mapping[str, float] = field(default_factory=dict)
    """Containers in back-off, and for how many seconds more."""


def plan(pod: Json, seen: Observed, health: Health, wait: Wait) -> Plan:
    """The next step for a pod that shall run."""
    sandbox = seen.sandbox
    if sandbox is None or not sandbox.ready:
        return _without_sandbox(pod, seen)
    step = _Step(pod, seen, health, wait, sandbox.spec.id)
    for role, container in containers(pod):
        if role is Role.EPHEMERAL and seen.newest(container["name"]) is None:
            step.start.append(container["name"])
    if step.initialize():
        step.apps()
    done = step.failed or (step.initialized and step.over)
    if done:
        return Plan(done=True)
    return Plan(start=tuple(step.start), kill=tuple(step.kill), held=step.held)


def _without_sandbox(pod: Json, seen: Observed) -> Plan:
    if seen.containers and restart_policy(pod) == "Never":
        return Plan(done=True)
    for role, container in containers(pod):
        if role is Role.APP:
            last = seen.newest(container["name"])
            if last is None or last.exit is None or restarts(pod, container, last.exit):
                return Plan(create_sandbox=True)
    return Plan(done=True)


class _Step:
    """One pass over the containers; the lists are what it found to do."""

    def __init__(self, pod: Json, seen: Observed, health: Health, wait: Wait, sandbox: str) -> None:
        self.pod, self.seen, self.health, self.wait = pod, seen, health, wait
        self.sandbox = sandbox
        self.start: list[str] = []
        self.kill: list[Kill] = []
        self.held: dict[str, float] = {}
        self.failed = False
        self.initialized = False
        self.over = False

    def initialize(self) -> bool:
        """Go through the init containers; True when the app containers' turn has come."""
        begun = any(
            self._here(container["name"])
            for role, container in containers(self.pod)
            if role is Role.APP
        )
        for role, container in containers(self.pod):
            if role is Role.SIDECAR:
                if not self._sidecar(container) and not begun:
                    return False
            elif role is Role.INIT and not begun and not self._init(container):
                return False
        self.initialized = True
        return True

    def apps(self) -> None:
        alive = False
        for role, container in containers(self.pod):
            if role is not Role.APP:
                continue
            state = self.seen.newest(container["name"])
            if state is None:
                self.start.append(container["name"])
                alive = True
            elif state.exit is None:
                self._check(container, state)
                alive = True
            elif restarts(self.pod, container, state.exit):
                self._restart(container, state)
                alive = True
        self.over = not alive

    def _here(self, name: str) -> ContainerState | None:
        """Its newest run, if that was in the sandbox of now: init containers run in each anew."""
        state = self.seen.newest(name)
        return state if state is not None and state.spec.sandbox == self.sandbox else None

    def _init(self, container: Json) -> bool:
        state = self._here(container["name"])
        if state is None:
            self.start.append(container["name"])
        elif state.exit is None:
            self._check(container, state)
        elif state.exit.code == 0:
            return True
        elif restart_policy(self.pod) == "Never":
            self.failed = True
        else:
            self._restart(container, state)
        return False

    def _sidecar(self, container: Json) -> bool:
        """Whether what comes after it may start."""
        state = self._here(container["name"])
        if state is None:
            self.start.append(container["name"])
            return False
        if state.exit is not None:
            self._restart(container, state)
            return False
        self._check(container, state)
        return state.spec.id not in self.health.unstarted

    def _check(self, container: Json, state: ContainerState) -> None:
        """A running container: does it have to go?"""
        name = container["name"]
        probe = self.health.failed.get(state.spec.id, "")
        if state.spec.labels[CONTAINER_HASH] != container_hash(container):
            message = f"Container {name} definition changed, will be restarted"
            self.kill.append(Kill(state, message))
        elif probe:
            message = f"Container {name} failed {probe.lower()} probe, will be restarted"
            self.kill.append(Kill(state, message, probe))

    def _restart(self, container: Json, state: ContainerState) -> None:
        left = self.wait(container, state)
        if left > 0:
            self.held[container["name"]] = left
        else:
            self.start.append(container["name"])


def restarts(pod: Json, container: Json, how: Exit) -> bool:
    """Whether a container that ended so is started again."""
    for rule in container.get("restartPolicyRules") or ():
        codes = rule.get("exitCodes") or {}
        inside = how.code in (codes.get("values") or ())
        if inside == (codes.get("operator") == "In"):
            return bool(rule.get("action") == "Restart")
    policy = container.get("restartPolicy") or restart_policy(pod)
    return bool(policy == "Always" or (policy == "OnFailure" and how.code != 0))
