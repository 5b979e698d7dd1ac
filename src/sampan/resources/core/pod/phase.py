"""READY, STATUS and RESTARTS: what `kubectl get pods` makes of a pod's status.

The status of a pod says a lot; the table has one word for it, found by looking at the init
containers in order, then at the others from the last to the first.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sampan.api.meta import Json
from sampan.api.resource import Column
from sampan.resources import cells
from sampan.resources.core.pod.levels import is_sidecar

TERMINAL = ("Succeeded", "Failed")
ROWS = {
    "Succeeded": "The pod has completed successfully.",
    "Failed": "The pod failed.",
}


@dataclass(slots=True)
class Summary:
    """What the three cells show."""

    word: str
    ready: int = 0
    total: int = 0
    restarts: int = 0
    last_restart: str = ""

    def count(self, entry: Json) -> None:
        self.restarts += entry.get("restartCount") or 0
        ended = (entry.get("lastState") or {}).get("terminated") or {}
        self.last_restart = max(self.last_restart, ended.get("finishedAt") or "")


def summary(pod: Json) -> Summary:
    spec, status = pod["spec"], pod.get("status") or {}
    phase = status.get("phase") or ""
    sidecars = {c.get("name") for c in spec.get("initContainers") or () if is_sidecar(c)}
    found = Summary(status.get("reason") or phase)
    found.total = len(spec.get("containers") or ()) + len(sidecars)
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("reason") == "SchedulingGated":
            found.word = "SchedulingGated"
    initializing = _initial(found, spec, status, sidecars)
    if not initializing or _is_true(status, "Initialized"):
        of_sidecars = Summary("")
        for entry in status.get("initContainerStatuses") or ():
            if entry.get("name") in sidecars:
                of_sidecars.count(entry)
        found.restarts, found.last_restart = of_sidecars.restarts, of_sidecars.last_restart
        _regular(found, status)
    if pod["metadata"].get("deletionTimestamp"):
        if status.get("reason") == "NodeLost":
            found.word = "Unknown"
        elif phase not in TERMINAL:
            found.word = "Terminating"
    return found


def _initial(found: Summary, spec: Json, status: Json, sidecars: set[str | None]) -> bool:
    """Whether an init container still holds up the rest."""
    total = len(spec.get("initContainers") or ())
    for at, entry in enumerate(status.get("initContainerStatuses") or ()):
        found.count(entry)
        state = entry.get("state") or {}
        ended, waiting = state.get("terminated"), (state.get("waiting") or {}).get("reason")
        if ended is not None and not ended.get("exitCode"):
            continue
        if entry.get("name") in sidecars and entry.get("started"):
            found.ready += bool(entry.get("ready"))
            continue
        if ended is not None:
            found.word = f"Init:{ended.get('reason') or _ended(ended)}"
        elif waiting and waiting != "PodInitializing":
            found.word = f"Init:{waiting}"
        else:
            found.word = f"Init:{at}/{total}"
        return True
    return False


def _regular(found: Summary, status: Json) -> None:
    running = False
    for entry in reversed(status.get("containerStatuses") or []):
        found.count(entry)
        state = entry.get("state") or {}
        ended, waiting = state.get("terminated"), (state.get("waiting") or {}).get("reason")
        if waiting:
            found.word = waiting
        elif ended is not None:
            found.word = ended.get("reason") or _ended(ended)
        elif entry.get("ready") and state.get("running") is not None:
            running = True
            found.ready += 1
    if found.word == "Completed" and running:
        found.word = "Running" if _is_true(status, "Ready") else "NotReady"


def _ended(ended: Json) -> str:
    if ended.get("signal"):
        return f"Signal:{ended['signal']}"
    return f"ExitCode:{ended.get('exitCode') or 0}"


def _is_true(status: Json, kind: str) -> bool:
    return any(
        condition.get("type") == kind and condition.get("status") == "True"
        for condition in status.get("conditions") or ()
    )


def _ready(pod: Json) -> str:
    found = summary(pod)
    return f"{found.ready}/{found.total}"


def _restarts(pod: Json, now: float) -> str:
    found = summary(pod)
    if found.restarts and found.last_restart:
        return f"{found.restarts} ({cells.since(found.last_restart, now)} ago)"
    return str(found.restarts)


def _ip(pod: Json) -> str:
    entries: Iterable[Json] = (pod.get("status") or {}).get("podIPs") or ()
    return next((entry.get("ip") or "" for entry in entries), "") or cells.NONE


def _gates(pod: Json) -> str:
    gates = pod["spec"].get("readinessGates")
    if not gates:
        return cells.NONE
    status = pod.get("status") or {}
    open_gates = sum(_is_true(status, gate.get("conditionType") or "") for gate in gates)
    return f"{open_gates}/{len(gates)}"


def row_conditions(pod: Json) -> list[Json]:
    """Marks the rows that `kubectl get` may hide as done."""
    phase = (pod.get("status") or {}).get("phase") or ""
    if phase not in ROWS:
        return []
    return [{"type": "Completed", "status": "True", "reason": phase, "message": ROWS[phase]}]


COLUMNS: tuple[Column, ...] = (
    cells.NAME,
    cells.column("Ready", _ready),
    cells.column("Status", lambda pod: summary(pod).word),
    Column("Restarts", _restarts),
    cells.AGE,
    cells.column("IP", _ip, priority=1),
    cells.column("Node", lambda pod: pod["spec"].get("nodeName") or cells.NONE, priority=1),
    cells.column(
        "Nominated Node",
        lambda pod: (pod.get("status") or {}).get("nominatedNodeName") or cells.NONE,
        priority=1,
    ),
    cells.column("Readiness Gates", _gates, priority=1),
)
