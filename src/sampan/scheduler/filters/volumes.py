"""Volumes: claims bound elsewhere or nowhere, disks for one pod only, zones, limits."""

from __future__ import annotations

from collections.abc import Iterable

from sampan.api.meta import Json, Key
from sampan.scheduler.base import NO_SAY, Prepared, Rejected
from sampan.scheduler.pod import PodView
from sampan.scheduler.state import ClusterState, NodeState
from sampan.scheduler.storage import Storage, claims_of, plan_for, reachable

_NOT_FROM_HERE = Rejected(("node(s) didn't match PersistentVolume's node affinity",), final=True)
_LOST = Rejected(
    ("node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)",), final=True
)
_NONE_FREE = Rejected(("node(s) didn't find available persistent volumes to bind",), final=True)
_ONLY_ONE_POD = Rejected(
    (
        "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode "
        "already in-use by another pod",
    )
)
_DISK_TAKEN = Rejected(("node(s) had no available disk",))
_OTHER_ZONE = Rejected(("node(s) had no available volume zone",), final=True)
_FULL = Rejected(("node(s) exceed max volume count",))

ZONES = (
    "topology.kubernetes.io/zone", "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/region",
)  # fmt: skip

_NOW = dict(zip(ZONES[2:], ZONES[:2], strict=True))


def volume_binding(pod: PodView, cluster: ClusterState) -> Prepared:
    """Bound volumes must be usable from the node, waiting claims must get one there."""
    if not pod.claims:
        return NO_SAY
    storage = cluster.storage
    claims = claims_of(pod, storage)
    if claims.refusal:
        return Prepared(refusal=claims.refusal)
    volumes = [storage.volume(claim["spec"]["volumeName"]) for claim in claims.bound]

    def check(node: NodeState) -> Rejected | None:
        against = _bound(volumes, node)
        if claims.waiting and plan_for(claims, node, storage) is None:
            if against is None:
                return _NONE_FREE
            # A node may lack both; each is told.
            return Rejected((*against.reasons, *_NONE_FREE.reasons), final=True)
        return against

    return Prepared(check)


def _bound(volumes: Iterable[Json | None], node: NodeState) -> Rejected | None:
    for volume in volumes:
        if volume is None:
            return _LOST
        if not reachable(volume, node.name, node.labels):
            return _NOT_FROM_HERE
    return None


def volume_restrictions(pod: PodView, cluster: ClusterState) -> Prepared:
    """ReadWriteOncePod claims that a pod has already, and old disks that two pods cannot share."""
    storage = cluster.storage
    names = [
        Key(pod.namespace, name)
        for name, _ in pod.claims
        if _is_for_one_pod(storage.claim(Key(pod.namespace, name)))
    ]
    disks = [disk for volume in pod.spec.get("volumes") or () for disk in _disks(volume)]
    if not names and not disks:
        return NO_SAY
    used = any(cluster.claims[key] > 0 for key in names)

    def check(node: NodeState) -> Rejected | None:
        for other in node.pods.values() if disks else ():
            for volume in other.spec.get("volumes") or ():
                if any(_conflict(one, disk) for one in _disks(volume) for disk in disks):
                    return _DISK_TAKEN
        return _ONLY_ONE_POD if used else None

    return Prepared(check)


def _is_for_one_pod(claim: Json | None) -> bool:
    return claim is not None and "ReadWriteOncePod" in (claim["spec"].get("accessModes") or ())


Disk = tuple[str, str, bool]
"""(sort, identity, read only)."""


def _disks(volume: Json) -> Iterable[Disk]:
    if source := volume.get("gcePersistentDisk"):
        yield "gce", source["pdName"], bool(source.get("readOnly"))
    if source := volume.get("awsElasticBlockStore"):
        yield "aws", source["volumeID"], False
    if source := volume.get("iscsi"):
        yield "iscsi", source["iqn"], bool(source.get("readOnly"))
    if source := volume.get("rbd"):
        pool = source.get("pool") or "rbd"
        for monitor in source.get("monitors") or ():
            yield "rbd", f"{monitor}/{pool}/{source['image']}", bool(source.get("readOnly"))


def _conflict(one: Disk, other: Disk) -> bool:
    return one[:2] == other[:2] and not (one[2] and other[2])


def volume_zone(pod: PodView, cluster: ClusterState) -> Prepared:
    """Volumes with labels of a zone need a node in it."""
    wanted = []
    for name in _volume_names(pod, cluster.storage):
        volume = cluster.storage.volume(name)
        if volume is None:
            return Prepared(refusal=f'persistentvolume "{name}" not found')
        labels = volume["metadata"].get("labels") or {}
        wanted += [(key, frozenset(labels[key].split("__"))) for key in ZONES if key in labels]
    if not wanted:
        return NO_SAY

    def check(node: NodeState) -> Rejected | None:
        if not any(key in node.labels for key in ZONES):
            return None
        fits = all(_label(node, key) in values for key, values in wanted)
        return None if fits else _OTHER_ZONE

    return Prepared(check)


def _label(node: NodeState, key: str) -> str | None:
    """A label, or the one that took the place of its beta form."""
    return node.labels.get(key, node.labels.get(_NOW.get(key, "")))


def volume_limits(pod: PodView, cluster: ClusterState) -> Prepared:
    """A node takes only so many volumes of a CSI driver."""
    storage = cluster.storage
    wanted = _handles(pod, storage)
    if not wanted:
        return NO_SAY

    def check(node: NodeState) -> Rejected | None:
        limits = _limits(storage.csi_node(node.name))
        drivers = {driver for driver, _ in wanted if driver in limits}
        if not drivers:
            return None
        used = set(wanted).union(*(_handles(other, storage) for other in node.pods.values()))
        over = any(sum(d == driver for d, _ in used) > limits[driver] for driver in drivers)
        return _FULL if over else None

    return Prepared(check)


def _limits(csi_node: Json | None) -> dict[str, int]:
    drivers = (csi_node or {}).get("spec", {}).get("drivers") or ()
    return {
        driver["name"]: driver["allocatable"]["count"]
        for driver in drivers
        if (driver.get("allocatable") or {}).get("count") is not None
    }


def _handles(pod: PodView, storage: Storage) -> set[tuple[str, str]]:
    """(driver, volume); a claim that waits for its volume counts for the driver that makes it."""
    found = set()
    for name, _ in pod.claims:
        claim = storage.claim(Key(pod.namespace, name))
        if claim is None:
            continue
        volume = storage.volume(claim["spec"].get("volumeName") or "")
        source = (volume or {}).get("spec", {}).get("csi")
        if source:
            found.add((source["driver"], source["volumeHandle"]))
        elif not claim["spec"].get("volumeName"):
            kind = storage.storage_class(claim["spec"].get("storageClassName") or "")
            if kind is not None:
                found.add((kind.get("provisioner", ""), f"{pod.namespace}/{name}"))
    return found


def _volume_names(pod: PodView, storage: Storage) -> list[str]:
    claims = (storage.claim(Key(pod.namespace, name)) for name, _ in pod.claims)
    names = (((claim or {}).get("spec") or {}).get("volumeName") for claim in claims)
    return [name for name in names if name]
