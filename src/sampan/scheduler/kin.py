"""Which pods belong together: those of the same Service or workload are spread unasked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sampan.api import kinds, selectors
from sampan.api.meta import Json, Key, ResourceId
from sampan.api.selectors import Requirement, Selector
from sampan.loop.informer import Informer
from sampan.loop.informers import Informers
from sampan.scheduler.pod import PodView

BY_SELECTOR = "first pair of the selector"
WORKLOADS: Mapping[str, ResourceId] = {
    "ReplicaSet": kinds.REPLICASETS,
    "ReplicationController": kinds.REPLICATIONCONTROLLERS,
    "StatefulSet": kinds.STATEFULSETS,
}


def _by_selector(service: Json) -> Iterable[str]:
    """A Service is found by one of its labels, so that a pod does not ask all of its namespace."""
    wanted = service.get("spec", {}).get("selector")
    if wanted:
        name = min(wanted)
        yield _mark(service["metadata"].get("namespace", ""), name, wanted[name])


def _mark(namespace: str, name: str, value: str) -> str:
    return f"{namespace}|{name}={value}"


class Kin:
    """Answers by the shared caches."""

    def __init__(self, informers: Informers) -> None:
        self._services = informers.of(kinds.SERVICES, indexers={BY_SELECTOR: _by_selector})
        self._workloads = {kind: informers.of(rid) for kind, rid in WORKLOADS.items()}

    def selector_for(self, pod: PodView) -> Selector | None:
        """What finds the pod and its like; None for a pod that stands alone."""
        labels: dict[str, str] = {}
        for name, value in pod.labels.items():
            for service in self._services.by(BY_SELECTOR, _mark(pod.namespace, name, value)):
                wanted = service["spec"]["selector"]
                if wanted.items() <= pod.labels.items():
                    labels |= wanted
        requirements = list(selectors.from_labels(labels).requirements)
        requirements += self._of_workload(pod)
        return Selector(tuple(requirements)) if requirements else None

    def _of_workload(self, pod: PodView) -> tuple[Requirement, ...]:
        for owner in pod.obj["metadata"].get("ownerReferences") or ():
            cache: Informer | None = self._workloads.get(owner["kind"])
            if not owner.get("controller") or cache is None:
                continue
            workload = cache.get(Key(pod.namespace, owner["name"]))
            wanted = workload["spec"].get("selector") if workload else None
            if not wanted:
                return ()
            if owner["kind"] == "ReplicationController":
                return selectors.from_labels(wanted).requirements
            return selectors.from_object(wanted).requirements
        return ()
