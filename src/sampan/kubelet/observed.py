"""What really runs of a pod: the runtime's snapshot, sorted by pod, container and attempt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from sampan.linux.base.processes import ContainerState, SandboxState

POD_NAME = "io.kubernetes.pod.name"
POD_NAMESPACE = "io.kubernetes.pod.namespace"
POD_UID = "io.kubernetes.pod.uid"
CONTAINER_NAME = "io.kubernetes.container.name"
CONTAINER_HASH = "io.kubernetes.container.hash"
ATTEMPT = "io.kubernetes.container.restartCount"
IMAGE = "io.sampan.image"
IMAGE_ID = "io.sampan.image-id"
STOP_SIGNAL = "io.sampan.stop-signal"
"""By which the image wants to be asked to end."""


@dataclass(frozen=True, slots=True)
class Observed:
    """One pod. `containers` has every known run of each container, the newest first."""

    sandboxes: tuple[SandboxState, ...] = ()
    containers: Mapping[str, tuple[ContainerState, ...]] = field(default_factory=dict)
    ips: tuple[str, ...] = ()

    @property
    def sandbox(self) -> SandboxState | None:
        """The newest one."""
        return self.sandboxes[0] if self.sandboxes else None

    def newest(self, container: str) -> ContainerState | None:
        runs = self.containers.get(container, ())
        return runs[0] if runs else None

    def is_running(self, container: str) -> bool:
        state = self.newest(container)
        return state is not None and state.exit is None

    def running(self) -> tuple[ContainerState, ...]:
        return tuple(run for runs in self.containers.values() for run in runs if run.exit is None)


def attempt_of(state: ContainerState) -> int:
    return int(state.spec.labels[ATTEMPT])


def name_of(state: ContainerState) -> str:
    return state.spec.labels[CONTAINER_NAME]


def observe(
    sandboxes: Iterable[SandboxState], containers: Iterable[ContainerState], ips: tuple[str, ...]
) -> Observed:
    """Sort what belongs to one pod."""
    boxes = tuple(sorted(sandboxes, key=lambda state: state.created, reverse=True))
    runs: dict[str, list[ContainerState]] = {}
    for state in containers:
        runs.setdefault(name_of(state), []).append(state)
    ordered = {
        name: tuple(sorted(found, key=attempt_of, reverse=True)) for name, found in runs.items()
    }
    return Observed(boxes, ordered, ips)
