"""What a Deployment's status says: counts, availability, progress, failures. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from sampan.api.meta import Json
from sampan.controllers import conditions
from sampan.controllers.deployment_rules import NO_LIMIT, count, fenceposts, total, wanted
from sampan.controllers.stamps import seconds, stamp

AVAILABLE, PROGRESSING, FAILURE = "Available", "Progressing", "ReplicaFailure"
NEW_AVAILABLE = "NewReplicaSetAvailable"
TIMED_OUT = "ProgressDeadlineExceeded"
PAUSED, RESUMED = "DeploymentPaused", "DeploymentResumed"


def condition(kind: str, status: str, reason: str, message: str, now: float) -> Json:
    return {
        "type": kind,
        "status": status,
        "lastUpdateTime": stamp(now),
        "lastTransitionTime": stamp(now),
        "reason": reason,
        "message": message,
    }


def conditions_of(deployment: Json) -> list[Json]:
    found: list[Json] = (deployment.get("status") or {}).get("conditions") or []
    return found


def has_deadline(deployment: Json) -> bool:
    return deployment["spec"].get("progressDeadlineSeconds") not in (None, NO_LIMIT)


def counted(deployment: Json, everyone: Sequence[Json], new: Json | None, now: float) -> Json:
    """Counts and the Available condition; the other conditions as they are."""
    available = count(everyone, "availableReplicas")
    counts = {
        "observedGeneration": deployment["metadata"].get("generation", 0),
        "replicas": count(everyone, "replicas"),
        "updatedReplicas": count((new,) if new else (), "replicas"),
        "readyReplicas": count(everyone, "readyReplicas"),
        "availableReplicas": available,
        "unavailableReplicas": max(0, total(everyone) - available),
        "collisionCount": (deployment.get("status") or {}).get("collisionCount") or 0,
    }
    status: Json = {name: value for name, value in counts.items() if value}
    leaving = [(rs.get("status") or {}).get("terminatingReplicas") for rs in everyone]
    if None not in leaving:
        status["terminatingReplicas"] = sum(leaving)
    if available >= wanted(deployment) - fenceposts(deployment)[1]:
        text = "Deployment has minimum availability."
        fresh = condition(AVAILABLE, "True", "MinimumReplicasAvailable", text, now)
    else:
        text = "Deployment does not have minimum availability."
        fresh = condition(AVAILABLE, "False", "MinimumReplicasUnavailable", text, now)
    status["conditions"] = conditions.put(conditions_of(deployment), fresh)
    return status


def rollout(deployment: Json, everyone: Sequence[Json], new: Json | None, now: float) -> Json:
    """The whole status during and after a rollout: progress and failures too."""
    status = counted(deployment, everyone, new, now)
    if not has_deadline(deployment):
        status["conditions"] = conditions.without(status["conditions"], PROGRESSING)
    known = conditions.find(conditions_of(deployment), PROGRESSING)
    finished = (
        known is not None
        and known.get("reason") == NEW_AVAILABLE
        and status.get("replicas", 0) == status.get("updatedReplicas", 0)
    )
    if has_deadline(deployment) and not finished:
        status["conditions"] = _progress(deployment, status, known, new, now)
    failures = _failures(everyone, new)
    if failures:
        status["conditions"] = conditions.put(status["conditions"], failures[0])
    else:
        status["conditions"] = conditions.without(status["conditions"], FAILURE)
    return status


def _progress(
    deployment: Json, status: Json, known: Json | None, new: Json | None, now: float
) -> list[Json]:
    found: list[Json] = status["conditions"]
    subject = (
        f'ReplicaSet "{new["metadata"]["name"]}"'
        if new
        else f'Deployment "{deployment["metadata"]["name"]}"'
    )
    if is_complete(deployment, status):
        text = f"{subject} has successfully progressed."
        return conditions.put(found, condition(PROGRESSING, "True", NEW_AVAILABLE, text, now))
    if _is_progressing(deployment, status):
        text = f"{subject} is progressing."
        fresh = condition(PROGRESSING, "True", "ReplicaSetUpdated", text, now)
        if known is not None and known.get("status") == "True":
            fresh["lastTransitionTime"] = known.get("lastTransitionTime")
        return [*conditions.without(found, PROGRESSING), fresh]
    if is_timed_out(deployment, status, now):
        text = f"{subject} has timed out progressing."
        return conditions.put(found, condition(PROGRESSING, "False", TIMED_OUT, text, now))
    return found


def is_complete(deployment: Json, status: Json) -> bool:
    desired = wanted(deployment)
    counts = {status.get(f"{name}eplicas", 0) for name in ("r", "updatedR", "availableR")}
    seen = status.get("observedGeneration", 0) >= deployment["metadata"].get("generation", 0)
    return bool(counts == {desired} and seen)


def _is_progressing(deployment: Json, status: Json) -> bool:
    before = deployment.get("status") or {}

    def grew(field: str) -> bool:
        return bool(status.get(field, 0) > before.get(field, 0))

    old_before = before.get("replicas", 0) - before.get("updatedReplicas", 0)
    old_now = status.get("replicas", 0) - status.get("updatedReplicas", 0)
    return (
        grew("updatedReplicas")
        or old_now < old_before
        or grew("readyReplicas")
        or grew("availableReplicas")
    )


def is_timed_out(deployment: Json, status: Json, now: float) -> bool:
    known = conditions.find(status.get("conditions") or (), PROGRESSING)
    if not has_deadline(deployment) or known is None or known.get("reason") == NEW_AVAILABLE:
        return False
    if known.get("reason") == TIMED_OUT:
        return True
    deadline = deployment["spec"]["progressDeadlineSeconds"]
    return bool(seconds(known.get("lastUpdateTime")) + deadline < now)


def ask_again_in(deployment: Json, status: Json, now: float) -> float | None:
    """When the progress deadline passes, if that still matters."""
    known = conditions.find(conditions_of(deployment), PROGRESSING)
    if not has_deadline(deployment) or known is None or known.get("reason") == TIMED_OUT:
        return None
    if is_complete(deployment, status):
        return None
    deadline = float(deployment["spec"]["progressDeadlineSeconds"])
    # Time stamps have whole seconds: one more, so that it has passed by any reading.
    return max(0.1, seconds(known.get("lastUpdateTime")) + deadline - now + 1)


def paused_or_resumed(deployment: Json, now: float) -> list[Json] | None:
    """The conditions with a fresh Progressing one if pausing changed, else None."""
    if not has_deadline(deployment):
        return None
    known = conditions.find(conditions_of(deployment), PROGRESSING)
    if known is not None and known.get("reason") == TIMED_OUT:
        return None
    told = known is not None and known.get("reason") == PAUSED
    paused = bool(deployment["spec"].get("paused"))
    if paused == told:
        return None
    reason, text = (
        (PAUSED, "Deployment is paused") if paused else (RESUMED, "Deployment is resumed")
    )
    fresh = condition(PROGRESSING, "Unknown", reason, text, now)
    return conditions.put(conditions_of(deployment), fresh)


def _failures(everyone: Sequence[Json], new: Json | None) -> list[Json]:
    """The new ReplicaSet's failure counts first, then any other's."""
    first = [new] if new is not None else []
    for rs in (*first, *everyone):
        found = conditions.find((rs.get("status") or {}).get("conditions") or (), FAILURE)
        if found is not None:
            return [{**found, "lastUpdateTime": found.get("lastTransitionTime")}]
    return []
