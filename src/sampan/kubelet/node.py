"""The Node object of this machine: pure, from settings and what the machine is."""

from __future__ import annotations

from collections.abc import Iterable

from sampan import __version__
from sampan.api import quantity
from sampan.api.meta import Json
from sampan.kubelet.images import Image
from sampan.kubelet.pods import time_text
from sampan.kubelet.settings import VERSION, KubeletSettings
from sampan.linux.base.machine import MachineFacts, MachineUsage

MEMORY_FLOOR = 100 << 20
DISK_FLOOR = 0.1
"""Below these (available bytes, share of the file system) the node is under pressure."""
MAX_IMAGES, MAX_IMAGE_NAMES = 50, 5
OWN_CONDITIONS = ("MemoryPressure", "DiskPressure", "PIDPressure", "Ready")


def capacity(settings: KubeletSettings, facts: MachineFacts) -> dict[str, str]:
    return {
        "cpu": str(facts.cpus),
        "ephemeral-storage": f"{facts.disk // 1024}Ki",
        "hugepages-1Gi": "0",
        "hugepages-2Mi": "0",
        "memory": f"{facts.memory // 1024}Ki",
        "pods": str(settings.max_pods),
    }


def allocatable(settings: KubeletSettings, facts: MachineFacts) -> dict[str, str]:
    """Capacity less what is reserved."""
    whole = capacity(settings, facts)
    for name, text in (("cpu", settings.reserved.cpu), ("memory", settings.reserved.memory)):
        whole[name] = str(quantity.parse(whole[name]) - quantity.parse(text))
    return whole


def node_object(settings: KubeletSettings, facts: MachineFacts) -> Json:
    """As it is registered, without its status."""
    name, arch = settings.node_name, facts.architecture
    registration = settings.registration
    labels = {
        "beta.kubernetes.io/arch": arch,
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": arch,
        "kubernetes.io/hostname": settings.hostname or name,
        "kubernetes.io/os": "linux",
        **registration.labels,
    }
    annotations = {"volumes.kubernetes.io/controller-managed-attach-detach": "true"}
    spec: Json = {}
    if registration.taints:
        spec["taints"] = [dict(taint) for taint in registration.taints]
    if registration.unschedulable:
        spec["unschedulable"] = True
    if registration.provider_id:
        spec["providerID"] = registration.provider_id
    meta = {"name": name, "labels": labels, "annotations": annotations}
    return {"apiVersion": "v1", "kind": "Node", "metadata": meta, "spec": spec}


def node_status(
    settings: KubeletSettings,
    facts: MachineFacts,
    usage: MachineUsage,
    images: Iterable[Image],
    now: float,
    old: Json,
) -> Json:
    """The whole status; conditions of others are kept."""
    conditions = _conditions(settings, facts, usage)
    known = {condition["type"]: condition for condition in old.get("conditions") or ()}
    dated = [_dated(condition, known.get(condition["type"]), now) for condition in conditions]
    others = [c for c in known.values() if c["type"] not in OWN_CONDITIONS]
    return {
        "addresses": _addresses(settings),
        "allocatable": allocatable(settings, facts),
        "capacity": capacity(settings, facts),
        "conditions": [*others, *dated],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": settings.server.port}},
        "features": {"supplementalGroupsPolicy": True},
        "images": _images(images),
        "nodeInfo": _node_info(facts),
    }


def _addresses(settings: KubeletSettings) -> list[Json]:
    found = [{"address": ip, "type": "InternalIP"} for ip in settings.node_ips]
    name = settings.hostname or settings.node_name
    return [*found, {"address": name, "type": "Hostname"}]


def _node_info(facts: MachineFacts) -> Json:
    info: Json = {
        "architecture": facts.architecture,
        "bootID": facts.boot_id,
        "containerRuntimeVersion": f"sampan://{__version__}",
        "kernelVersion": facts.kernel,
        "kubeProxyVersion": "",
        "kubeletVersion": VERSION,
        "machineID": facts.machine_id,
        "operatingSystem": "linux",
        "osImage": facts.os_image,
        "systemUUID": facts.system_uuid or facts.machine_id,
    }
    if facts.swap:
        info["swap"] = {"capacity": facts.swap}
    return info


def _images(images: Iterable[Image]) -> list[Json]:
    """The largest ones, as upstream reports them."""
    ordered = sorted(images, key=lambda image: -image.size)[:MAX_IMAGES]
    return [
        {"names": list(image.names[:MAX_IMAGE_NAMES]), "sizeBytes": image.size} for image in ordered
    ]


def _conditions(settings: KubeletSettings, facts: MachineFacts, usage: MachineUsage) -> list[Json]:
    memory = usage.memory_available < MEMORY_FLOOR
    disk = usage.disk_available < facts.disk * DISK_FLOOR * 0.1
    pids = usage.processes > facts.max_pids * 0.9
    return [
        _pressure("MemoryPressure", memory, ("KubeletHasSufficientMemory",
                  "KubeletHasInsufficientMemory"), "sufficient memory available"),
        _pressure("DiskPressure", disk, ("KubeletHasNoDiskPressure",
                  "KubeletHasDiskPressure"), "no disk pressure"),
        _pressure("PIDPressure", pids, ("KubeletHasSufficientPID",
                  "KubeletHasInsufficientPID"), "sufficient PID available"),
        {"type": "Ready", "status": "True", "reason": "KubeletReady",
         "message": "kubelet is posting ready status"},
    ]  # fmt: skip


def _pressure(kind: str, under: bool, reasons: tuple[str, str], good: str) -> Json:
    bad = good.replace("sufficient", "insufficient").replace("no disk", "disk")
    return {
        "type": kind,
        "status": "True" if under else "False",
        "reason": reasons[under],
        "message": f"kubelet has {bad if under else good}",
    }


def _dated(new: Json, old: Json | None, now: float) -> Json:
    same = old is not None and old["status"] == new["status"]
    since = old.get("lastTransitionTime") if same and old is not None else None
    return {
        **new,
        "lastHeartbeatTime": time_text(now),
        "lastTransitionTime": since or time_text(now),
    }


def is_news(old: Json, new: Json) -> bool:
    """Whether more than a heartbeat is different."""
    return _essence(old) != _essence(new)


def _essence(status: Json) -> Json:
    conditions = {
        condition["type"]: (condition["status"], condition.get("reason"))
        for condition in status.get("conditions") or ()
    }
    # An empty list and none at all are the same: a server leaves either out.
    fields = ("addresses", "allocatable", "capacity", "images")
    rest = {name: status.get(name) or None for name in fields}
    return {**rest, "conditions": conditions, "info": status.get("nodeInfo")}
