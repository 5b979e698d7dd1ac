"""Taints that say what a node's conditions mean, and how long pods bear them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum

from sampan.api.meta import Json
from sampan.controllers.stamps import stamp

NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
BY_CONDITION = (
    ("Ready", "False", NOT_READY),
    ("Ready", "Unknown", UNREACHABLE),
    ("MemoryPressure", "True", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "True", "node.kubernetes.io/disk-pressure"),
    ("PIDPressure", "True", "node.kubernetes.io/pid-pressure"),
    ("NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable"),
)
OURS = frozenset((*(key for _, _, key in BY_CONDITION), UNSCHEDULABLE))


class Evict(Enum):
    """What may become of the taints that drive pods away."""

    START = "start"
    GO_ON = "go on"
    """Where pods are driven away already, by the other taint too."""
    STOP = "stop"


def status_of(node: Json, condition: str) -> str:
    """The status of a condition; empty for one that was never told."""
    for item in (node.get("status") or {}).get("conditions") or ():
        if item["type"] == condition:
            found: str = item["status"]
            return found
    return ""


def evicted(node: Json) -> bool:
    """Whether pods are being driven away from it since it does not answer."""
    return any(
        item["effect"] == "NoExecute" and item["key"] in (NOT_READY, UNREACHABLE)
        for item in node["spec"].get("taints") or ()
    )


def taints_for(node: Json, now: float, evict: Evict) -> list[Json]:
    """All taints that the node should have: foreign ones as they are, ours by its conditions."""
    present: list[Json] = node["spec"].get("taints") or []
    known = {(item["key"], item["effect"]): item for item in present}
    drives = evict is Evict.START or (evict is Evict.GO_ON and evicted(node))
    wanted: list[tuple[str, str]] = []
    for condition, bad, key in BY_CONDITION:
        if status_of(node, condition) == bad:
            wanted.append((key, "NoSchedule"))
            if condition == "Ready" and drives:
                wanted.append((key, "NoExecute"))
    if node["spec"].get("unschedulable"):
        wanted.append((UNSCHEDULABLE, "NoSchedule"))
    kept = [item for item in present if not _is_ours(item)]
    for key, effect in wanted:
        fresh = {"key": key, "effect": effect, "timeAdded": stamp(now)}
        kept.append(known.get((key, effect), fresh))
    return kept


def _is_ours(taint: Json) -> bool:
    if taint["effect"] == "NoExecute":
        return taint["key"] in (NOT_READY, UNREACHABLE)
    return taint["effect"] == "NoSchedule" and taint["key"] in OURS


def tolerates(toleration: Json, taint: Json) -> bool:
    if toleration.get("effect") and toleration["effect"] != taint["effect"]:
        return False
    if toleration.get("key") and toleration["key"] != taint["key"]:
        return False
    if toleration.get("operator", "Equal") == "Exists":
        return True
    return bool(
        toleration.get("key") and (toleration.get("value") or "") == (taint.get("value") or "")
    )


def patience(pod: Json, taints: Iterable[Json]) -> float | None:
    """Seconds that a pod bears these NoExecute taints: 0 not at all, None for ever."""
    tolerations: Sequence[Json] = pod["spec"].get("tolerations") or ()
    shortest: float | None = None
    for taint in taints:
        fitting = [item for item in tolerations if tolerates(item, taint)]
        if not fitting:
            return 0.0
        limits = [
            max(0.0, float(item["tolerationSeconds"]))
            for item in fitting
            if item.get("tolerationSeconds") is not None
        ]
        if limits:
            shortest = min([*limits, *([shortest] if shortest is not None else [])])
    return shortest
