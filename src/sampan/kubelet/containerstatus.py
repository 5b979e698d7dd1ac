"""The status of one container: its state, the state before, readiness, restarts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sampan.api.meta import Json
from sampan.kubelet.observed import IMAGE_ID, attempt_of
from sampan.kubelet.plan import Health
from sampan.kubelet.pods import Role, time_text
from sampan.linux.base.processes import LOST_EXIT_CODE, ContainerState

RUNTIME = "sampan"
LOST_MESSAGE = "The container could not be located when the pod was terminated"
START_ERROR_CODE = 128


@dataclass(frozen=True, slots=True)
class Hold:
    """Why a container waits, and when it is worth another try (0 = with the next change)."""

    reason: str
    message: str = ""
    retry_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a container's status takes from the rest of its pod."""

    waiting: str
    """The reason that stands until there is a better one."""
    health: Health
    messages: Mapping[str, str]
    terminated: bool
    """The pod has ended for good: a container that never ran never will."""


def container_status(
    role: Role,
    container: Json,
    runs: tuple[ContainerState, ...],
    hold: Hold | None,
    old: Json,
    around: Surroundings,
) -> Json:
    """`runs` are what the runtime knows, the newest first; `hold` counts while none is running;
    `old` is what the API shows now, or empty.
    """
    newest = runs[0] if runs else None
    state, last = _now_and_before(runs, hold, old, around)
    started = (
        newest is not None and newest.exit is None and newest.spec.id not in around.health.unstarted
    )
    ready = started and newest is not None and newest.spec.id not in around.health.unready
    if role is Role.INIT:
        ready = (state.get("terminated") or {}).get("exitCode") == 0
    status: Json = {
        "name": container["name"],
        "state": state,
        "lastState": last,
        "ready": ready,
        "restartCount": attempt_of(newest) if newest else int(old.get("restartCount", 0)),
        "image": container.get("image", ""),
        "imageID": newest.spec.labels.get(IMAGE_ID, "") if newest else old.get("imageID", ""),
        "started": started,
    }
    if newest is not None:
        status["containerID"] = f"{RUNTIME}://{newest.spec.id}"
    elif old.get("containerID"):
        status["containerID"] = old["containerID"]
    if role is Role.EPHEMERAL:
        del status["started"]
    return {**status, **_resources(container), **_mounts(container)}


def _resources(container: Json) -> Json:
    resources = container.get("resources")
    if not resources:
        return {}
    requests = resources.get("requests")
    return {"resources": resources, **({"allocatedResources": requests} if requests else {})}


def _mounts(container: Json) -> Json:
    mounts = [_mount(mount) for mount in container.get("volumeMounts") or ()]
    return {"volumeMounts": mounts} if mounts else {}


def _now_and_before(
    runs: tuple[ContainerState, ...], hold: Hold | None, old: Json, around: Surroundings
) -> tuple[Json, Json]:
    """(state, lastState). A hold stands in front of an ended run, never of a running one."""
    states = [_state(run, around.messages) for run in runs[:2]]
    if states and (hold is None or "running" in states[0]):
        return states[0], states[1] if len(states) > 1 else _last_of(old, runs[0].spec.id)
    if hold is not None:
        waiting = {"reason": hold.reason, **({"message": hold.message} if hold.message else {})}
        return {"waiting": waiting}, states[0] if states else _last_of(old, "")
    if "terminated" in old.get("state", {}):
        return old["state"], old.get("lastState") or {}
    if around.terminated:
        lost = {"exitCode": LOST_EXIT_CODE, "reason": "ContainerStatusUnknown",
                "message": LOST_MESSAGE, "startedAt": None, "finishedAt": None}  # fmt: skip
        return {"terminated": lost}, old.get("lastState") or {}
    return {"waiting": {"reason": around.waiting}}, _last_of(old, "")


def _last_of(old: Json, current: str) -> Json:
    """What the API already tells of a run before those that the runtime still knows."""
    terminated = old.get("state", {}).get("terminated")
    if terminated and terminated.get("containerID") != f"{RUNTIME}://{current}":
        return {"terminated": terminated}
    return old.get("lastState") or {}


def _state(run: ContainerState, messages: Mapping[str, str]) -> Json:
    if run.exit is None:
        return {"running": {"startedAt": time_text(run.started)}}
    how = run.exit
    terminated: Json = {"exitCode": how.code}
    reason, message = _reason(run)
    terminated["reason"] = reason
    text = message or messages.get(run.spec.id, "")
    if text:
        terminated["message"] = text
    terminated["startedAt"] = time_text(run.started)
    terminated["finishedAt"] = time_text(how.finished)
    terminated["containerID"] = f"{RUNTIME}://{run.spec.id}"
    return {"terminated": terminated}


def _reason(run: ContainerState) -> tuple[str, str]:
    how = run.exit
    assert how is not None
    if not how.known:
        return "ContainerStatusUnknown", LOST_MESSAGE
    if how.message and how.code == START_ERROR_CODE:
        return "StartError", how.message
    if how.oom_killed:
        return "OOMKilled", ""
    return ("Completed", "") if how.code == 0 else ("Error", "")


def _mount(mount: Json) -> Json:
    found: Json = {"name": mount["name"], "mountPath": mount["mountPath"]}
    if mount.get("readOnly"):
        found["readOnly"] = True
        found["recursiveReadOnly"] = mount.get("recursiveReadOnly") or "Disabled"
    return found
