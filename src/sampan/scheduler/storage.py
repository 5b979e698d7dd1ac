"""Claims and volumes as the scheduler sees them, and which of them fit a pod on a node.

A claim that waits for its first consumer gets its volume with the pod's node: one that is there and
may be used from that node, or one to be made for it. Volumes promised to a pod whose binding is
still under way are set aside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from sampan.api import quantity, selectors
from sampan.api.meta import Json, Key, key_of
from sampan.scheduler import terms
from sampan.scheduler.pod import PodView

NO_PROVISIONER = "kubernetes.io/no-provisioner"
BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
SELECTED_NODE = "volume.kubernetes.io/selected-node"


class Place(Protocol):
    """What volumes ask of a node."""

    @property
    def name(self) -> str: ...
    @property
    def labels(self) -> Mapping[str, str]: ...


def _nothing(name: str) -> Json | None:
    return None


def _no_claim(key: Key) -> Json | None:
    return None


def _none() -> Iterable[Json]:
    return ()


@dataclass
class Storage:
    """Looks into the caches; empty until it is wired."""

    claim: Callable[[Key], Json | None] = _no_claim
    volume: Callable[[str], Json | None] = _nothing
    storage_class: Callable[[str], Json | None] = _nothing
    csi_node: Callable[[str], Json | None] = _nothing
    volumes: Callable[[], Iterable[Json]] = _none
    set_aside: dict[str, Key] = field(default_factory=dict)
    """Volume -> the claim that it was promised to."""


@dataclass(frozen=True, slots=True)
class Claims:
    """The claims of a pod: those with a volume, and those that wait for a node."""

    bound: tuple[Json, ...] = ()
    waiting: tuple[Json, ...] = ()
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class VolumePlan:
    """What must happen before the pod can be bound to its node."""

    static: tuple[tuple[Json, Json], ...] = ()
    """(claim, volume)."""
    dynamic: tuple[Json, ...] = ()
    """Claims for which a volume is to be made."""

    def __bool__(self) -> bool:
        return bool(self.static or self.dynamic)


def claims_of(pod: PodView, storage: Storage) -> Claims:
    """The pod's claims sorted out, or why it can go nowhere."""
    named = [(name, own, storage.claim(Key(pod.namespace, name))) for name, own in pod.claims]
    # Claims that are not there are told before those that are of no use, and all these before
    # claims that nobody has bound yet, wherever they stand in the pod.
    for name, own, claim in sorted(named, key=lambda one: one[2] is not None):
        why = _missing(pod, name, own, claim)
        if why:
            return Claims(refusal=why)
    bound, waiting = [], []
    for claim in (claim for _, _, claim in named if claim is not None):
        if is_bound(claim):
            bound.append(claim)
        elif claim["spec"].get("volumeName") or not _waits(claim, storage):
            return Claims(refusal="pod has unbound immediate PersistentVolumeClaims")
        else:
            waiting.append(claim)
    return Claims(tuple(bound), tuple(waiting))


def _missing(pod: PodView, name: str, own: bool, claim: Json | None) -> str:
    if claim is None:
        if own:
            return (
                "waiting for ephemeral volume controller to create the persistentvolumeclaim "
                f'"{name}"'
            )
        return f'persistentvolumeclaim "{name}" not found'
    meta, spec = claim["metadata"], claim["spec"]
    if claim.get("status", {}).get("phase") == "Lost":
        volume = spec.get("volumeName", "")
        return f'persistentvolumeclaim "{name}" bound to non-existent persistentvolume "{volume}"'
    if "deletionTimestamp" in meta:
        return f'persistentvolumeclaim "{name}" is being deleted'
    owners = {owner.get("uid") for owner in meta.get("ownerReferences") or ()}
    if own and pod.uid not in owners:
        return f'PVC "{claim["metadata"]["namespace"]}/{name}" was not created for pod "{pod.key}"'
    return ""


def is_bound(claim: Json) -> bool:
    notes = claim["metadata"].get("annotations") or {}
    return bool(claim["spec"].get("volumeName")) and BIND_COMPLETED in notes


def _waits(claim: Json, storage: Storage) -> bool:
    found = storage.storage_class(claim["spec"].get("storageClassName") or "")
    return found is not None and found.get("volumeBindingMode") == "WaitForFirstConsumer"


def plan_for(claims: Claims, node: Place, storage: Storage) -> VolumePlan | None:
    """How the waiting claims get their volumes on this node; None if they cannot."""
    static: list[tuple[Json, Json]] = []
    dynamic: list[Json] = []
    taken: set[str] = set()
    for claim in sorted(claims.waiting, key=_size):
        volume = _smallest(claim, node, storage, taken)
        if volume is not None:
            taken.add(volume["metadata"]["name"])
            static.append((claim, volume))
        elif _can_be_made(claim, node, storage):
            dynamic.append(claim)
        else:
            return None
    return VolumePlan(tuple(static), tuple(dynamic))


def _size(claim: Json) -> int:
    return quantity.units(claim["spec"].get("resources", {}).get("requests", {}).get("storage", 0))


def _smallest(claim: Json, node: Place, storage: Storage, taken: set[str]) -> Json | None:
    fitting = [
        volume
        for volume in storage.volumes()
        if volume["metadata"]["name"] not in taken and _fits(claim, volume, node, storage)
    ]
    return min(fitting, key=_capacity, default=None)


def _capacity(volume: Json) -> int:
    return quantity.units(volume["spec"].get("capacity", {}).get("storage", 0))


def _fits(claim: Json, volume: Json, node: Place, storage: Storage) -> bool:
    wanted, spec = claim["spec"], volume["spec"]
    key = key_of(claim)
    if not _is_free(volume, claim) or storage.set_aside.get(volume["metadata"]["name"], key) != key:
        return False
    if not _same_kind(wanted, spec, volume) or _capacity(volume) < _size(claim):
        return False
    return reachable(volume, node.name, node.labels)


def _is_free(volume: Json, claim: Json) -> bool:
    """Nobody has it, or it is kept for this very claim."""
    if volume.get("status", {}).get("phase", "Available") not in ("Available", "Pending"):
        return False
    reference = volume["spec"].get("claimRef")
    if reference is None:
        return True
    if (reference.get("namespace"), reference.get("name")) != key_of(claim):
        return False
    return reference.get("uid") in (None, "", claim["metadata"].get("uid"))


def _same_kind(wanted: Json, spec: Json, volume: Json) -> bool:
    if (wanted.get("storageClassName") or "") != (spec.get("storageClassName") or ""):
        return False
    if wanted.get("volumeMode", "Filesystem") != spec.get("volumeMode", "Filesystem"):
        return False
    if not set(wanted.get("accessModes") or ()) <= set(spec.get("accessModes") or ()):
        return False
    chosen = wanted.get("selector")
    labels = volume["metadata"].get("labels") or {}
    return chosen is None or selectors.from_object(chosen).matches(labels)


def reachable(volume: Json, name: str, labels: Mapping[str, str]) -> bool:
    """Whether the volume may be used from the node."""
    required = (volume["spec"].get("nodeAffinity") or {}).get("required")
    if required is None:
        return True
    return any(term.matches(name, labels) for term in terms.node_terms(required))


def _can_be_made(claim: Json, node: Place, storage: Storage) -> bool:
    found = storage.storage_class(claim["spec"].get("storageClassName") or "")
    if found is None or found.get("provisioner", NO_PROVISIONER) == NO_PROVISIONER:
        return False
    allowed = found.get("allowedTopologies")
    return not allowed or any(
        all(
            node.labels.get(part["key"]) in part["values"]
            for part in term.get("matchLabelExpressions") or ()
        )
        for term in allowed
    )
