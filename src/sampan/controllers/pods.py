"""What controllers ask about Pods, and how they make them from a template. Pure."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping
from typing import Any

from sampan.api.meta import Json
from sampan.controllers.stamps import created, seconds

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"


def phase(pod: Json) -> str:
    found: str = (pod.get("status") or {}).get("phase", "")
    return found


def condition(obj: Json, kind: str) -> Json | None:
    """The condition of this type in the object's status."""
    for item in (obj.get("status") or {}).get("conditions") or ():
        if item.get("type") == kind:
            found: Json = item
            return found
    return None


def is_ready(pod: Json) -> bool:
    found = condition(pod, "Ready")
    return found is not None and found.get("status") == "True"


def is_terminal(pod: Json) -> bool:
    return phase(pod) in ("Succeeded", "Failed")


def is_terminating(pod: Json) -> bool:
    return bool(pod["metadata"].get("deletionTimestamp"))


def is_active(pod: Json) -> bool:
    return not is_terminal(pod) and not is_terminating(pod)


def available_in(pod: Json, min_ready_s: float, now: float) -> float | None:
    """Seconds until the pod counts as available: 0 when it does, None when it is not ready."""
    ready = condition(pod, "Ready")
    if ready is None or ready.get("status") != "True":
        return None
    since = seconds(ready.get("lastTransitionTime"))
    return max(0.0, since + min_ready_s - now) if min_ready_s and since else 0.0


def restarts(pod: Json) -> int:
    """The most restarts of any container."""
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    return max((int(status.get("restartCount", 0)) for status in statuses), default=0)


def pod_from(template: Json, owner_name: str, reference: Json) -> Json:
    """A Pod of this template, named after its owner."""
    meta = template.get("metadata") or {}
    wanted: Json = {"generateName": f"{owner_name}-", "ownerReferences": [reference]}
    for field in ("labels", "annotations", "finalizers"):
        if meta.get(field):
            wanted[field] = copy.copy(meta[field])
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": wanted,
        "spec": copy.deepcopy(template.get("spec") or {}),
    }


_PHASE_RANK = {"Pending": 0, "": 0, "Unknown": 1, "Running": 2}


def deletion_order(pods: Iterable[Json], on_node: Mapping[str, int], now: float) -> list[Json]:
    """First to go first: not scheduled, not running, not ready, cheap, crowded, young, restless.

    `on_node` counts the related pods of each node. Ages are compared by powers of two, so that
    scaling down does not always hit exactly the youngest.
    """

    def rank(pod: Json) -> tuple[Any, ...]:
        node = (pod.get("spec") or {}).get("nodeName", "")
        ready = is_ready(pod)
        ready_since = seconds((condition(pod, "Ready") or {}).get("lastTransitionTime"))
        return (
            bool(node),
            _PHASE_RANK.get(phase(pod), 2),
            ready,
            _cost(pod),
            -on_node.get(node, 0),
            _age_class(ready_since, now) if ready else 0,
            -restarts(pod),
            _age_class(created(pod), now),
            pod["metadata"].get("uid", ""),
        )

    return sorted(pods, key=rank)


def _age_class(since: float, now: float) -> int:
    age = now - since
    return int(math.log2(age)) if since and age > 1 else 0


def _cost(pod: Json) -> int:
    text = (pod["metadata"].get("annotations") or {}).get(DELETION_COST, "0")
    try:
        return int(text)
    except ValueError:
        return 0
