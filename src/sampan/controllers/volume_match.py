"""Which PersistentVolume fits which claim. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from sampan.api import selectors
from sampan.api.meta import Json
from sampan.api.quantity import Quantity, parse_json
from sampan.controllers.stamps import created

BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
DEFAULT = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)
NO_PROVISIONER = "kubernetes.io/no-provisioner"


def note(obj: Json, name: str) -> str:
    found: str = (obj["metadata"].get("annotations") or {}).get(name, "")
    return found


def with_note(obj: Json, name: str, value: str = "yes") -> Json:
    meta = obj["metadata"]
    notes = {**(meta.get("annotations") or {}), name: value}
    return {**obj, "metadata": {**meta, "annotations": notes}}


def class_of(obj: Json) -> str:
    """The class of a claim or volume; the old annotation counts first."""
    old = note(obj, "volume.beta.kubernetes.io/storage-class")
    found: str = old or obj["spec"].get("storageClassName") or ""
    return found


def has_no_class(claim: Json) -> bool:
    """Whether the claim leaves its class open; an empty one is a choice."""
    old = "volume.beta.kubernetes.io/storage-class"
    named = claim["spec"].get("storageClassName")
    return named is None and old not in (claim["metadata"].get("annotations") or {})


def default_class(classes: Iterable[Json]) -> str:
    """The class for claims without one; the newest of several, then the first by name."""
    found = [item for item in classes if any(note(item, name) == "true" for name in DEFAULT)]
    found.sort(key=lambda item: str(item["metadata"]["name"]))
    newest = max(found, key=lambda item: created(item), default=None)
    name: str = newest["metadata"]["name"] if newest else ""
    return name


def is_for(volume: Json, claim: Json) -> bool:
    """Whether the volume names this claim."""
    reference = volume["spec"].get("claimRef")
    if reference is None:
        return False
    meta = claim["metadata"]
    same = (reference.get("namespace"), reference.get("name")) == (meta["namespace"], meta["name"])
    return bool(same and reference.get("uid", "") in ("", meta["uid"]))


def fits(volume: Json, claim: Json) -> str:
    """Why a volume cannot serve a claim; empty when it can."""
    wants, has = claim["spec"], volume["spec"]
    if size_of(volume) < parse_json((wants.get("resources") or {})["requests"]["storage"]):
        return "requested PV is too small"
    if class_of(claim) != class_of(volume):
        return "storageClassName does not match"
    if (wants.get("volumeMode") or "Filesystem") != (has.get("volumeMode") or "Filesystem"):
        return "incompatible volumeMode"
    if not set(wants.get("accessModes") or ()) <= set(has.get("accessModes") or ()):
        return "incompatible accessMode"
    return ""


def size_of(volume: Json) -> Quantity:
    return parse_json((volume["spec"].get("capacity") or {}).get("storage", "0"))


def best(claim: Json, volumes: Iterable[Json], *, only_reserved: bool) -> Json | None:
    """The volume reserved for the claim, else of the free ones that fit that which can do the
    least: fewest access modes, then the smallest.
    """
    free: list[Json] = []
    selector = selectors.from_object(claim["spec"].get("selector"))
    chooses = claim["spec"].get("selector") is not None
    for volume in volumes:
        if volume["metadata"].get("deletionTimestamp"):
            continue
        if is_for(volume, claim) and not fits(volume, claim):
            return volume
        if only_reserved or volume["spec"].get("claimRef") is not None:
            continue
        labelled = not chooses or selector.matches(volume["metadata"].get("labels"))
        available = (volume.get("status") or {}).get("phase") in ("Available", "Pending", None, "")
        if labelled and available and not fits(volume, claim):
            free.append(volume)
    return min(free, key=_ability, default=None)


def _ability(volume: Json) -> tuple[int, Quantity, str]:
    modes = volume["spec"].get("accessModes") or ()
    return len(modes), size_of(volume), volume["metadata"]["name"]
