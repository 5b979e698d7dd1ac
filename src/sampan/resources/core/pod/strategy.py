"""What a write to a pod, or to one of its subresources, may touch at all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sampan.api.meta import Json
from sampan.resources.core.pod.annotations import move_profiles
from sampan.resources.core.pod.levels import qos_class

GATED = {
    "type": "PodScheduled",
    "status": "False",
    "lastProbeTime": None,
    "reason": "SchedulingGated",
    "message": "Scheduling is blocked due to non-empty scheduling gates",
}


def prepare(new: Json, old: Json | None, subresource: str) -> None:
    if old is None:
        _new_pod(new)
    elif subresource == "status":
        _status(new, old)
    elif subresource in ("ephemeralcontainers", "resize"):
        _only_part(new, old, subresource)


def _new_pod(pod: Json) -> None:
    spec = pod["spec"]
    if (spec.get("terminationGracePeriodSeconds") or 0) < 0:
        spec["terminationGracePeriodSeconds"] = 1
    pod["status"] = {"phase": "Pending", "qosClass": qos_class(spec)}
    if spec.get("schedulingGates"):
        created = pod["metadata"].get("creationTimestamp")
        pod["status"]["conditions"] = [{**GATED, "lastTransitionTime": created}]
    own = pod["metadata"].get("labels") or {}
    for term in _pod_terms(spec.get("affinity") or {}):
        _merge_keys(term, "matchLabelKeys", "In", own)
        _merge_keys(term, "mismatchLabelKeys", "NotIn", own)
    for constraint in spec.get("topologySpreadConstraints") or ():
        _merge_keys(constraint, "matchLabelKeys", "In", own)
    if notes := pod["metadata"].get("annotations"):
        move_profiles(notes, spec)


def _pod_terms(affinity: Json) -> Iterable[Json]:
    for field in ("podAffinity", "podAntiAffinity"):
        terms = affinity.get(field) or {}
        yield from terms.get("requiredDuringSchedulingIgnoredDuringExecution") or ()
        for weighted in terms.get("preferredDuringSchedulingIgnoredDuringExecution") or ():
            yield weighted.get("podAffinityTerm") or {}


def _merge_keys(term: Json, field: str, operator: str, own: Json) -> None:
    """`matchLabelKeys` mean this pod's own values; what looks at pods later sees a selector."""
    selector = term.get("labelSelector")
    if selector is None:
        return
    for key in term.get(field) or ():
        if key in own:
            expression = {"key": key, "operator": operator, "values": [own[key]]}
            selector.setdefault("matchExpressions", []).append(expression)


def _status(new: Json, old: Json) -> None:
    """Kubelets once spoiled owner references through status; the QoS class is for life."""
    held = old["metadata"].get("ownerReferences")
    if held:
        new["metadata"]["ownerReferences"] = held
    else:
        new["metadata"].pop("ownerReferences", None)
    status, before = new.setdefault("status", {}), old.get("status") or {}
    if not status.get("qosClass") and before.get("qosClass"):
        status["qosClass"] = before["qosClass"]
    _keep_generations(status, before)


def _keep_generations(status: Json, before: Json) -> None:
    """A client that knows nothing of observedGeneration takes it away from nobody."""
    if not status.get("observedGeneration") and before.get("observedGeneration"):
        status["observedGeneration"] = before["observedGeneration"]
    seen: dict[str, list[int]] = {}
    for condition in before.get("conditions") or ():
        kind = condition.get("type", "")
        seen.setdefault(kind, []).append(condition.get("observedGeneration") or 0)
    for condition in status.get("conditions") or ():
        held = seen.get(condition.get("type", ""))
        generation = held.pop(0) if held else 0
        if generation and not condition.get("observedGeneration"):
            condition["observedGeneration"] = generation


def _only_part(new: Json, old: Json, subresource: str) -> None:
    """Everything else is taken from the pod as it was."""
    spec, before = new.get("spec") or {}, old["spec"]
    kept = dict(before)
    if subresource == "ephemeralcontainers":
        _put(kept, "ephemeralContainers", spec.get("ephemeralContainers"))
    else:
        for field in ("containers", "initContainers"):
            known = {container.get("name"): container for container in before.get(field) or ()}
            resized = [_resized(now, known) for now in spec.get(field) or ()]
            _put(kept, field, resized)
        _put(kept, "resources", spec.get("resources"))
    new["spec"] = kept
    new["status"] = old.get("status") or {}
    managed = new["metadata"].get("managedFields")
    new["metadata"] = dict(old["metadata"])
    _put(new["metadata"], "managedFields", managed)


def _resized(now: Json, known: Mapping[str, Json]) -> Json:
    """Only the size counts; the order, and who is there, is for the rules to refuse."""
    was = known.get(now.get("name", ""))
    if was is None:
        return now
    out = dict(was)
    for field in ("resources", "resizePolicy"):
        _put(out, field, now.get(field))
    return out


def _put(holder: Json, field: str, value: object) -> None:
    if value is None or value == []:
        holder.pop(field, None)
    else:
        holder[field] = value
