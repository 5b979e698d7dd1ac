"""A pod as the scheduler sees it: everything that a decision needs, parsed once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from sampan.api import quantity
from sampan.api.meta import Json, Key, key_of
from sampan.scheduler import terms
from sampan.scheduler.terms import NodeTerm, PodTerm, Spread, Toleration, Weighted

DEFAULT_MILLI_CPU = 100
DEFAULT_MEMORY = 200 << 20
"""What a container without a request counts for when nodes are compared."""

Amounts = dict[str, int]
Port = tuple[str, str, int]
"""(address, protocol, port)."""


def amount(resource: str, value: object) -> int:
    """Thousandths for cpu, whole units for everything else."""
    return quantity.milli(value) if resource == "cpu" else quantity.units(value)


def amounts(resources: Json | None) -> Amounts:
    return {name: amount(name, value) for name, value in (resources or {}).items()}


@dataclass(frozen=True)
class PodView:
    """Made from the JSON once per version of the pod."""

    obj: Json

    @cached_property
    def key(self) -> Key:
        return key_of(self.obj)

    @cached_property
    def spec(self) -> Json:
        spec: Json = self.obj["spec"]
        return spec

    @property
    def namespace(self) -> str:
        return self.key.namespace

    @cached_property
    def uid(self) -> str:
        return str(self.obj["metadata"].get("uid", ""))

    @cached_property
    def labels(self) -> dict[str, str]:
        return self.obj["metadata"].get("labels") or {}

    @property
    def node(self) -> str:
        return str(self.spec.get("nodeName", ""))

    @property
    def nominated(self) -> str:
        return str(self.obj.get("status", {}).get("nominatedNodeName", ""))

    @property
    def scheduler(self) -> str:
        return str(self.spec.get("schedulerName", ""))

    @property
    def priority(self) -> int:
        return int(self.spec.get("priority") or 0)

    @property
    def terminating(self) -> bool:
        return "deletionTimestamp" in self.obj["metadata"]

    @property
    def preempted(self) -> bool:
        """Whether it goes because the scheduler wanted its room."""
        conditions = self.obj.get("status", {}).get("conditions") or ()
        return self.terminating and any(
            told["type"] == "DisruptionTarget"
            and told.get("reason") == "PreemptionByScheduler"
            and told.get("status") == "True"
            for told in conditions
        )

    @property
    def finished(self) -> bool:
        return self.obj.get("status", {}).get("phase") in ("Succeeded", "Failed")

    @property
    def gated(self) -> bool:
        return bool(self.spec.get("schedulingGates"))

    @property
    def started(self) -> str:
        """When it began, for choosing victims: the younger goes."""
        return str(self.obj.get("status", {}).get("startTime", ""))

    @cached_property
    def requests(self) -> Amounts:
        """What must be free on the node; zeros left out."""
        return {name: value for name, value in requests_of(self.spec).items() if value}

    @cached_property
    def weight(self) -> tuple[int, int]:
        """(cpu, memory) for comparing nodes: a container without a request counts for something."""
        found = requests_of(self.spec, assumed=True)
        return found.get("cpu", 0), found.get("memory", 0)

    @cached_property
    def ports(self) -> tuple[Port, ...]:
        """Ports of the node."""
        found = []
        for container in _long_lived(self.spec):
            for port in container.get("ports") or ():
                if port.get("hostPort"):
                    address = port.get("hostIP") or "0.0.0.0"
                    found.append((address, port.get("protocol") or "TCP", port["hostPort"]))
        return tuple(found)

    @property
    def containers(self) -> int:
        return len(self.spec.get("initContainers") or ()) + len(self.spec["containers"])

    @cached_property
    def images(self) -> tuple[str, ...]:
        """Of containers, and of volumes that are images."""
        every = (*(self.spec.get("initContainers") or ()), *self.spec["containers"])
        volumes = (volume.get("image") or {} for volume in self.spec.get("volumes") or ())
        return (
            *(container.get("image", "") for container in every),
            *(image["reference"] for image in volumes if image.get("reference")),
        )

    @cached_property
    def tolerations(self) -> tuple[Toleration, ...]:
        return tuple(terms.toleration(entry) for entry in self.spec.get("tolerations") or ())

    @property
    def selector(self) -> dict[str, str]:
        return self.spec.get("nodeSelector") or {}

    def _affinity(self, name: str) -> Json | None:
        found: Json | None = (self.spec.get("affinity") or {}).get(name)
        return found

    @cached_property
    def node_terms(self) -> tuple[NodeTerm, ...] | None:
        """Alternatives that the node must meet one of; None if there is no such condition."""
        required = (self._affinity("nodeAffinity") or {}).get(
            "requiredDuringSchedulingIgnoredDuringExecution"
        )
        return None if required is None else terms.node_terms(required)

    @cached_property
    def preferred_nodes(self) -> tuple[tuple[NodeTerm, int], ...]:
        return terms.preferred_nodes(self._affinity("nodeAffinity"))

    @cached_property
    def affinity(self) -> tuple[PodTerm, ...]:
        return terms.pod_terms(self._affinity("podAffinity"), self.namespace)

    @cached_property
    def anti_affinity(self) -> tuple[PodTerm, ...]:
        return terms.pod_terms(self._affinity("podAntiAffinity"), self.namespace)

    @cached_property
    def preferences(self) -> tuple[Weighted, ...]:
        """Neighbours that it likes, and with negative weight those that it does not."""
        return terms.weighted_terms(
            self._affinity("podAffinity"), self.namespace, 1
        ) + terms.weighted_terms(self._affinity("podAntiAffinity"), self.namespace, -1)

    @cached_property
    def spreads(self) -> tuple[Spread, ...]:
        found = self.spec.get("topologySpreadConstraints") or ()
        return tuple(terms.spread(entry, self.labels) for entry in found)

    @cached_property
    def claims(self) -> tuple[tuple[str, bool], ...]:
        """(PersistentVolumeClaim, whether it is made for this pod)."""
        found = []
        for volume in self.spec.get("volumes") or ():
            if volume.get("persistentVolumeClaim"):
                found.append((volume["persistentVolumeClaim"]["claimName"], False))
            elif volume.get("ephemeral"):
                found.append((f"{self.key.name}-{volume['name']}", True))
        return tuple(found)


def requests_of(spec: Json, *, assumed: bool = False) -> Amounts:
    """Containers and sidecars together, or the greatest init container; overhead on top.

    Resources of the pod itself, where given, count instead of the containers' sum.
    """
    total = _sum(_requests(container, assumed) for container in spec["containers"])
    sidecars: Amounts = {}
    peak: Amounts = {}
    for container in spec.get("initContainers") or ():
        wanted = _requests(container, assumed)
        if container.get("restartPolicy") == "Always":
            sidecars = _sum((sidecars, wanted))
            wanted = sidecars
        else:
            wanted = _sum((sidecars, wanted))
        peak = _greater(peak, wanted)
    total = _greater(_sum((total, sidecars)), peak)
    own = amounts((spec.get("resources") or {}).get("requests"))
    return _sum(({**total, **own}, amounts(spec.get("overhead"))))


def _requests(container: Json, assumed: bool) -> Amounts:
    found = amounts((container.get("resources") or {}).get("requests"))
    if assumed:
        found.setdefault("cpu", DEFAULT_MILLI_CPU)
        found.setdefault("memory", DEFAULT_MEMORY)
    return found


def _sum(parts: Iterable[Amounts]) -> Amounts:
    total: Counter[str] = Counter()
    for part in parts:
        total.update(part)
    return dict(total)


def _greater(left: Amounts, right: Amounts) -> Amounts:
    return {name: max(left.get(name, 0), right.get(name, 0)) for name in left.keys() | right.keys()}


def _long_lived(spec: Json) -> list[Json]:
    sidecars = [c for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"]
    return [*sidecars, *spec["containers"]]
