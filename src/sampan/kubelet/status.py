"""The status of a pod as the API shows it: pure, from what is wished and what is observed.

The words (reasons, messages, order of the conditions) are upstream's, since people and programs
look for them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from sampan.api.meta import Json
from sampan.kubelet import pods
from sampan.kubelet.containerstatus import Hold, Surroundings, container_status
from sampan.kubelet.observed import Observed
from sampan.kubelet.plan import Health, restarts
from sampan.kubelet.pods import Role

OWN_CONDITIONS = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady")
"""In upstream's order; the others of a pod are somebody else's."""


@dataclass(frozen=True, slots=True)
class View:
    """All that a status is made of."""

    pod: Json
    seen: Observed
    now: float
    health: Health = field(default_factory=Health)
    holds: Mapping[str, Hold] = field(default_factory=dict)
    """Why a container is not running, where the kubelet knows."""
    host_ips: tuple[str, ...] = ()
    messages: Mapping[str, str] = field(default_factory=dict)
    """Termination messages by container id."""
    failure: tuple[str, str] | None = None
    """Reason and message, when the kubelet itself ended the pod."""
    terminated: bool = False
    """Every container has ended for good."""


def pod_status(view: View) -> Json:
    """The whole status, given the one that the API has now."""
    pod = view.pod
    old: Json = pod.get("status") or {}
    groups = {
        "initContainerStatuses": _statuses(view, (Role.INIT, Role.SIDECAR)),
        "containerStatuses": _statuses(view, (Role.APP,)),
        "ephemeralContainerStatuses": _statuses(view, (Role.EPHEMERAL,)),
    }
    status: Json = {**old, **{name: found for name, found in groups.items() if found}}
    everything = groups["initContainerStatuses"], groups["containerStatuses"]
    status["phase"] = _phase(view, *everything)
    if view.failure is not None:
        status["reason"], status["message"] = view.failure
    generation = pod["metadata"].get("generation")
    if generation:
        status["observedGeneration"] = generation
    status.setdefault("startTime", pods.time_text(view.now))
    _addresses(view, status)
    status["conditions"] = _conditions(view, status)
    return status


def _statuses(view: View, roles: tuple[Role, ...]) -> list[Json]:
    status = view.pod.get("status") or {}
    old = {
        known["name"]: known
        for name in ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")
        for known in status.get(name) or ()
    }
    waits = view.pod["spec"].get("initContainers")
    reason = "PodInitializing" if waits else "ContainerCreating"
    around = Surroundings(reason, view.health, view.messages, view.terminated)
    return [
        container_status(
            role,
            container,
            view.seen.containers.get(container["name"], ()),
            view.holds.get(container["name"]),
            old.get(container["name"], {}),
            around,
        )
        for role, container in pods.containers(view.pod)
        if role in roles
    ]


def _addresses(view: View, status: Json) -> None:
    if view.host_ips:
        status["hostIP"] = view.host_ips[0]
        status["hostIPs"] = [{"ip": ip} for ip in view.host_ips]
    ips = view.host_ips if pods.is_host_network(view.pod) else view.seen.ips
    if ips:
        status["podIP"] = ips[0]
        status["podIPs"] = [{"ip": ip} for ip in ips]


def _phase(view: View, inits: list[Json], apps: list[Json]) -> str:
    """upstream's getPhase."""
    old = (view.pod.get("status") or {}).get("phase", "")
    if old in ("Failed", "Succeeded"):
        return str(old)
    if view.failure is not None:
        return "Failed"
    policy = pods.restart_policy(view.pod)
    roles = {container["name"]: role for role, container in pods.containers(view.pod)}
    for status in inits:
        ended = _ended(status)
        if roles[status["name"]] is Role.SIDECAR or (ended and ended["exitCode"] == 0):
            continue
        return "Failed" if ended and policy == "Never" else "Pending"
    running = sum("running" in status["state"] for status in apps)
    ends = [ended for status in apps if (ended := _ended(status)) is not None]
    if len(ends) + running < len(apps):
        return "Pending"
    if running:
        return "Running"
    return _end_phase(view, apps, policy)


def _end_phase(view: View, apps: list[Json], policy: str) -> str:
    """All app containers have ended at least once, and none runs."""
    byname = {container["name"]: container for _, container in pods.containers(view.pod)}
    will_restart = any(
        (last := view.seen.newest(status["name"])) is not None
        and last.exit is not None
        and restarts(view.pod, byname[status["name"]], last.exit)
        for status in apps
    )
    codes = [ended["exitCode"] for status in apps if (ended := _ended(status)) is not None]
    if will_restart and not view.terminated:
        return "Running"
    if policy == "Always" and not view.terminated:
        return "Running"
    return "Succeeded" if not any(codes) else "Failed"


def _ended(status: Json) -> Json | None:
    """How its last run ended, if it does not run now."""
    if "running" in status["state"]:
        return None
    found: Json | None = status["state"].get("terminated") or status["lastState"].get("terminated")
    return found


def _conditions(view: View, status: Json) -> list[Json]:
    old = {c["type"]: c for c in (view.pod.get("status") or {}).get("conditions") or ()}
    sandbox = view.seen.sandbox
    has_sandbox = sandbox is not None and sandbox.ready and bool(status.get("podIP"))
    apps, inits = status.get("containerStatuses", []), status.get("initContainerStatuses", [])
    roles = {container["name"]: role for role, container in pods.containers(view.pod)}
    uninitialized = [s["name"] for s in inits if not _is_initialized(s, roles[s["name"]])]
    unready = [s["name"] for s in apps if not s["ready"]]
    unready += [s["name"] for s in inits if roles[s["name"]] is Role.SIDECAR and not s["ready"]]
    ready = _containers_ready(status["phase"], unready)
    made = [
        _condition("PodReadyToStartContainers", has_sandbox),
        _initialized(status["phase"], uninitialized, bool(inits)),
        _pod_ready(view.pod, old, ready),
        {**ready, "type": "ContainersReady"},
    ]
    names = {condition["type"] for condition in made}
    others = [condition for name, condition in old.items() if name not in names]
    generation = view.pod["metadata"].get("generation")
    return [*(_dated(c, old.get(c["type"]), view.now, generation) for c in made), *others]


def _condition(kind: str, true: bool, reason: str = "", message: str = "") -> Json:
    found: Json = {"type": kind, "status": "True" if true else "False"}
    if reason:
        found["reason"] = reason
    if message:
        found["message"] = message
    return found


def _is_initialized(status: Json, role: Role) -> bool:
    if role is Role.SIDECAR:
        return bool(status["started"])
    terminated = status["state"].get("terminated") or {}
    return terminated.get("exitCode") == 0


def _initialized(phase: str, waiting: Iterable[str], any_init: bool) -> Json:
    if phase == "Succeeded" and any_init:
        return _condition("Initialized", True, "PodCompleted")
    names = " ".join(waiting)
    if names:
        message = f"containers with incomplete status: [{names}]"
        return _condition("Initialized", False, "ContainersNotInitialized", message)
    return _condition("Initialized", True)


def _containers_ready(phase: str, unready: list[str]) -> Json:
    if phase == "Succeeded":
        return _condition("Ready", False, "PodCompleted")
    if phase == "Failed":
        return _condition("Ready", False, "PodFailed")
    if unready:
        message = f"containers with unready status: [{' '.join(unready)}]"
        return _condition("Ready", False, "ContainersNotReady", message)
    return _condition("Ready", True)


def _pod_ready(pod: Json, old: Mapping[str, Json], containers: Json) -> Json:
    """Containers and readiness gates together."""
    if containers["status"] != "True":
        return containers
    complaints = []
    for gate in pod["spec"].get("readinessGates") or ():
        name = gate["conditionType"]
        found = old.get(name)
        if found is None:
            text = f'corresponding condition of pod readiness gate "{name}" does not exist.'
            complaints.append(text)
        elif found["status"] != "True":
            text = f'the status of pod readiness gate "{name}" is not "True", but {found["status"]}'
            complaints.append(text)
    if complaints:
        return _condition("Ready", False, "ReadinessGatesNotReady", ", ".join(complaints))
    return containers


def _dated(new: Json, old: Json | None, now: float, generation: int | None) -> Json:
    """With the time of its last change; a condition that stays as it was keeps it."""
    same = old is not None and old["status"] == new["status"]
    since = old.get("lastTransitionTime") if same and old is not None else None
    dated = {
        "type": new["type"],
        **({"observedGeneration": generation} if generation else {}),
        "status": new["status"],
        "lastProbeTime": None,
        "lastTransitionTime": since or pods.time_text(now),
    }
    return {**dated, **{k: new[k] for k in ("reason", "message") if k in new}}
