"""What may change of a running pod's size: CPU and memory, of containers and of the whole."""

from __future__ import annotations

from collections.abc import Iterator

from sampan.api import quantity
from sampan.api.meta import Json
from sampan.resources.core.pod.annotations import MIRROR
from sampan.resources.core.pod.levels import is_sidecar, qos_class
from sampan.resources.rules import WHOLE, Errors, forbidden, invalid

RESIZABLE = ("cpu", "memory")
ONLY = "only cpu and memory resources"


def cannot_resize(old: Json) -> Errors:
    """Pods for which no size is ever right; nothing else is told then."""
    if MIRROR in (old["metadata"].get("annotations") or {}):
        return forbidden(WHOLE, "static pods cannot be resized")
    if (old["spec"].get("os") or {}).get("name") == "windows":
        return forbidden(WHOLE, "windows pods cannot be resized")
    return []


def validate_resize(new: Json, old: Json) -> Errors:
    spec, before = new["spec"], old["spec"]
    status = old.get("status") or {}
    errors: Errors = []
    if qos_class(spec) != (status.get("qosClass") or qos_class(before)):
        says = "Pod QOS Class may not change as a result of resizing"
        errors += invalid("spec", (new.get("status") or {}).get("qosClass"), says)
    if not _node_can(status):
        errors += forbidden("spec", "Pod running on node without support for resize")
    errors += _whole_pod(spec.get("resources"), before.get("resources"))
    if moved := _moved(spec, before):
        return errors + moved
    for field in ("initContainers", "containers"):
        for at, now, was in _pairs(field, spec, before):
            errors += _removed(f"spec.{field}[{at}].resources", "resource", now, was)
    for field in ("containers", "initContainers"):
        for _, now, was in _pairs(field, spec, before):
            sidecar = field == "initContainers" and is_sidecar(was)
            errors += _others(" for sidecar containers" if sidecar else "", now, was)
    return errors


def _whole_pod(now: Json | None, was: Json | None) -> Errors:
    if not now and not was:
        return []
    if now is None:
        return forbidden("spec.resources", "pod-level resources cannot be removed")
    errors = _removed(
        "spec.resources", "pod-level resource", {"resources": now}, {"resources": was}
    )
    if _fixed(now) != _fixed(was or {}):
        errors += forbidden("spec", f"{ONLY} are mutable at pod-level")
    return errors


def _node_can(status: Json) -> bool:
    """A kubelet that can resize tells what a running container has."""
    for entry in status.get("containerStatuses") or ():
        if (entry.get("state") or {}).get("running") is not None:
            return entry.get("resources") is not None
    return True


def _moved(spec: Json, before: Json) -> Errors:
    """Containers are told apart by their places."""
    errors: Errors = []
    for field in ("containers", "initContainers"):
        now, was = ([c.get("name") for c in s.get(field) or ()] for s in (spec, before))
        if len(now) != len(was):
            errors += forbidden(f"spec.{field}", f"{field} may not be added or removed on resize")
            continue
        for at, name in enumerate(was):
            if now[at] != name:
                says = f"{field} may not be renamed or reordered on resize"
                errors += forbidden(f"spec.{field}[{at}].name", says)
    return errors


def _pairs(field: str, spec: Json, before: Json) -> Iterator[tuple[int, Json, Json]]:
    pairs = zip(spec.get(field) or (), before.get(field) or (), strict=True)
    for at, (now, was) in enumerate(pairs):
        yield at, now, was


def _removed(path: str, what: str, now: Json, was: Json) -> Errors:
    needs, had = now.get("resources") or {}, was.get("resources") or {}
    errors: Errors = []
    for kind in ("requests", "limits"):
        if set(had.get(kind) or ()) - set(needs.get(kind) or ()):
            errors += forbidden(f"{path}.{kind}", f"{what} {kind} cannot be removed")
    return errors


def _others(whose: str, now: Json, was: Json) -> Errors:
    """Whatever is neither CPU nor memory stays."""
    sizes = [_fixed(each.get("resources") or {}) for each in (now, was)]
    if sizes[0] == sizes[1] and now.get("resizePolicy") == was.get("resizePolicy"):
        return []
    return forbidden("spec", f"{ONLY}{whose} are mutable")


def _fixed(needs: Json) -> list[object]:
    amounts = [
        {
            name: quantity.parse(text)
            for name, text in (needs.get(kind) or {}).items()
            if name not in RESIZABLE
        }
        for kind in ("requests", "limits")
    ]
    return [*amounts, needs.get("claims") or []]
