"""What the scheduler writes on pods: conditions, nominations, bindings."""

from __future__ import annotations

from datetime import UTC, datetime

from sampan.api.meta import Json
from sampan.scheduler.pod import PodView

UNSCHEDULABLE, ERROR = "Unschedulable", "SchedulerError"


NOTE_LIMIT = 1024
"""Characters of an event's text; the condition has all of it."""


def note(message: str) -> str:
    return message if len(message) <= NOTE_LIMIT else f"{message[: NOTE_LIMIT - 4]} ..."


def stamp(now: float) -> str:
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def unschedulable_patch(
    pod: PodView,
    message: str,
    nominated: str | None,
    now: float,
    *,
    reason: str = UNSCHEDULABLE,
) -> Json | None:
    """A strategic patch of the status; None when it says all this already."""
    known = condition_of(pod, "PodScheduled")
    wanted: Json = {
        "type": "PodScheduled",
        "status": "False",
        "reason": reason,
        "message": message,
        "lastProbeTime": None,
        "lastTransitionTime": stamp(now),
        "observedGeneration": pod.obj["metadata"].get("generation", 0),
    }
    status: Json = {}
    if known and known.get("status") == "False":
        wanted["lastTransitionTime"] = known.get("lastTransitionTime") or stamp(now)
    fields = ("status", "reason", "message", "observedGeneration")
    if not known or any(known.get(field) != wanted[field] for field in fields):
        status["conditions"] = [wanted]
    if nominated is not None and nominated != pod.nominated:
        status["nominatedNodeName"] = nominated or None
    return {"status": status} if status else None


def disruption_patch(victim: PodView, scheduler: str, now: float) -> Json:
    """Tells a victim why it must go."""
    return {
        "status": {
            "conditions": [
                {
                    "type": "DisruptionTarget",
                    "status": "True",
                    "reason": "PreemptionByScheduler",
                    "message": f"{scheduler}: preempting to accommodate a higher priority pod",
                    "lastProbeTime": None,
                    "lastTransitionTime": stamp(now),
                    "observedGeneration": victim.obj["metadata"].get("generation", 0),
                }
            ]
        }
    }


def condition_of(pod: PodView, kind: str) -> Json | None:
    for condition in pod.obj.get("status", {}).get("conditions") or ():
        if condition["type"] == kind:
            found: Json = condition
            return found
    return None


def binding(pod: PodView, node: str) -> Json:
    """The body of pods/binding."""
    return {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": pod.key.name, "namespace": pod.namespace, "uid": pod.uid},
        "target": {"apiVersion": "v1", "kind": "Node", "name": node},
    }
