"""Everything that the life of a pod is made with, handed to whoever leads one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sampan.api.meta import Json
from sampan.kubelet.crashloop import CrashLoops
from sampan.kubelet.fieldpaths import PodFacts
from sampan.kubelet.images import Images
from sampan.kubelet.network import HostPorts, PodNetwork
from sampan.kubelet.objects import Objects
from sampan.kubelet.offload import Offload, to_thread
from sampan.kubelet.places import Places
from sampan.kubelet.probes.prober import Prober
from sampan.kubelet.runtime import PodRuntime
from sampan.kubelet.settings import KubeletSettings
from sampan.kubelet.statuswriter import StatusWriter
from sampan.kubelet.volumes.manager import Volumes
from sampan.loop.events import Recorder, reference_to
from sampan.std.clock import Clock

NORMAL, WARNING = "Normal", "Warning"


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What pods are told about their node."""

    allocatable: Mapping[str, str] = field(default_factory=dict)
    memory_capacity: int = 1 << 40
    host_ips: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Kit:
    """One node's; every part of it may be a fake."""

    settings: KubeletSettings
    clock: Clock
    runtime: PodRuntime
    network: PodNetwork
    host_ports: HostPorts | None
    volumes: Volumes
    objects: Objects
    images: Images
    prober: Prober
    statuses: StatusWriter
    events: Recorder
    node: NodeFacts
    service_variables: Callable[[Json], Mapping[str, str]]
    """What a pod's containers are told about Services."""
    new_id: Callable[[], str]
    offload: Offload = to_thread
    crashes: CrashLoops = field(default_factory=CrashLoops)
    pulls: CrashLoops = field(default_factory=CrashLoops)

    @property
    def places(self) -> Places:
        return Places(self.settings.root_dir)

    def facts(self, pod: Json, ips: tuple[str, ...]) -> PodFacts:
        from_node = pod["spec"].get("hostNetwork")
        return PodFacts(
            self.settings.node_name,
            self.node.host_ips,
            self.node.host_ips if from_node else ips,
            self.node.allocatable,
        )

    def tell(self, pod: Json, kind: str, reason: str, message: str, container: str = "") -> None:
        """An event about the pod, or about one of its containers."""
        about = reference_to({"apiVersion": "v1", "kind": "Pod", **pod})
        if container:
            about["fieldPath"] = container_path(pod, container)
        self.events.event(about, kind, reason, message)


def container_path(pod: Json, name: str) -> str:
    """`spec.containers{web}`: how events point into a pod."""
    for field_name in ("initContainers", "containers", "ephemeralContainers"):
        if any(container["name"] == name for container in pod["spec"].get(field_name) or ()):
            return f"spec.{field_name}{{{name}}}"
    return ""
