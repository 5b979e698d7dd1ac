"""What a container leaves behind: its termination message, or the end of its log."""

from __future__ import annotations

from sampan.api.meta import Json
from sampan.kubelet.logs import tail_text
from sampan.kubelet.observed import name_of
from sampan.kubelet.places import Places
from sampan.kubelet.pods import container_named, uid_of
from sampan.linux.base.processes import ContainerState

MESSAGE_LIMIT = 4096
LOG_LINES, LOG_LIMIT = 80, 2048


def message(pod: Json, state: ContainerState, places: Places) -> str:
    """Of a container that ended; empty when it said nothing."""
    name = name_of(state)
    found = container_named(pod, name)
    if found is None or state.exit is None:
        return ""
    path = places.termination(uid_of(pod), name, state.spec.id)
    try:
        with open(path, "rb") as file:
            text = file.read(MESSAGE_LIMIT).decode(errors="replace")
    except OSError:
        text = ""
    policy = found[1].get("terminationMessagePolicy")
    if text or policy != "FallbackToLogsOnError" or state.exit.code == 0:
        return text
    return tail_text(state.spec.output.path, LOG_LINES)[-LOG_LIMIT:]
