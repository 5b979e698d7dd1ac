"""Puts a kubelet together from its parts; which parts (real or fake) is the caller's business."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sampan.api import kinds
from sampan.api.meta import Json
from sampan.client.client import Client
from sampan.kubelet import node
from sampan.kubelet.env import service_variables
from sampan.kubelet.images import Images, ImageStore, NoImages
from sampan.kubelet.kit import Kit, NodeFacts
from sampan.kubelet.kubelet import Kubelet
from sampan.kubelet.network import HostPorts, PodNetwork
from sampan.kubelet.objects import Objects
from sampan.kubelet.offload import Offload, to_thread
from sampan.kubelet.places import Places
from sampan.kubelet.probes.prober import Prober
from sampan.kubelet.reporting import NodeReporter
from sampan.kubelet.runtime import PodRuntime
from sampan.kubelet.settings import KubeletSettings
from sampan.kubelet.sources import Fetch, StaticPods
from sampan.kubelet.statuswriter import StatusWriter
from sampan.kubelet.volumes.manager import Volumes
from sampan.linux.base.machine import Machine
from sampan.linux.base.mounts import Mounts
from sampan.linux.base.processes import Runtime
from sampan.loop.events import Recorder
from sampan.loop.informer import Informer
from sampan.loop.informers import Informers
from sampan.std.clock import Clock

FETCH_S = 10.0
BY_NAMESPACE = "namespace"
MASTER_SERVICE = "kubernetes"


def fetch_url(url: str) -> bytes:
    """For manifests. Raises OSError."""
    import urllib.request

    with urllib.request.urlopen(url, timeout=FETCH_S) as answer:
        data: bytes = answer.read()
        return data


@dataclass(frozen=True, slots=True)
class Parts:
    """What a kubelet needs of its machine."""

    runtime: Runtime
    machine: Machine
    mounts: Mounts
    network: PodNetwork
    host_ports: HostPorts | None = None
    images: ImageStore | None = None
    offload: Offload = to_thread
    fetch: Fetch = fetch_url


def assemble(client: Client, settings: KubeletSettings, parts: Parts, clock: Clock) -> Kubelet:
    informers = Informers(client, clock)
    pods = informers.of(kinds.PODS, fields=f"spec.nodeName={settings.node_name}")
    services = informers.of(
        kinds.SERVICES, indexers={BY_NAMESPACE: lambda svc: (svc["metadata"]["namespace"],)}
    )
    places = Places(settings.root_dir)
    os.makedirs(places.root, mode=0o700, exist_ok=True)
    store = parts.images or NoImages()
    images = Images(settings.host_image, store)
    objects = Objects(client, clock)
    found: list[Kubelet] = []

    def wake(uid: str) -> None:
        found[0].wake(uid)

    def unhealthy(pod: Json, container: Json, message: str) -> None:
        kit.tell(pod, "Warning", "Unhealthy", message, container["name"])

    reporter = NodeReporter(client, settings, parts.machine, store.all, clock)
    allocatable = node.allocatable(settings, reporter.facts)
    kit = Kit(
        settings=settings,
        clock=clock,
        runtime=PodRuntime(parts.runtime, wake),
        network=parts.network,
        host_ports=parts.host_ports,
        volumes=Volumes(places, objects, parts.mounts, parts.offload),
        objects=objects,
        images=images,
        prober=Prober(parts.runtime, clock, unhealthy, wake),
        statuses=StatusWriter(client, clock),
        events=Recorder(client, "kubelet", clock, settings.node_name),
        node=NodeFacts(allocatable, reporter.facts.memory, settings.node_ips),
        service_variables=_variables(services, settings.service_namespace),
        new_id=lambda: os.urandom(32).hex(),
        offload=parts.offload,
    )
    kubelet = Kubelet(kit, informers, pods, reporter)
    if settings.pod_manifest_path or settings.manifest_url:
        kubelet.sources.append(StaticPods(kubelet, client, parts.fetch))
    found.append(kubelet)
    return kubelet


def _variables(services: Informer, master: str) -> Callable[[Json], Mapping[str, str]]:
    """Of the Services of a pod's own namespace, and always of the API server's."""

    def of(pod: Json) -> Mapping[str, str]:
        chosen = {
            svc["metadata"]["name"]: svc
            for svc in services.by(BY_NAMESPACE, master)
            if svc["metadata"]["name"] == MASTER_SERVICE
        }
        if pod["spec"].get("enableServiceLinks") is not False:
            own = services.by(BY_NAMESPACE, pod["metadata"]["namespace"])
            chosen.update({svc["metadata"]["name"]: svc for svc in own})
        return service_variables(chosen.values())

    return of
