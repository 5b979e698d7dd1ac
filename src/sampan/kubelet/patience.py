"""How long the containers of one pod wait, and what their status says meanwhile."""

from __future__ import annotations

from sampan.api.meta import Json
from sampan.kubelet import pods
from sampan.kubelet.containerstatus import Hold
from sampan.kubelet.kit import WARNING, Kit
from sampan.kubelet.plan import Plan, Wait
from sampan.kubelet.starting import back_off_pulling
from sampan.linux.base.processes import ContainerState

CRASH_LOOP = "CrashLoopBackOff"
RETRY_S = 5.0
"""How soon a container whose configuration was at fault is tried again."""
PULL_LOOK_S = 2.0
"""How soon a failed pull becomes a back-off in the status."""


class Patience:
    """Of one pod; `holds` says why its containers do not run."""

    def __init__(self, kit: Kit) -> None:
        self.kit = kit
        self.holds: dict[str, Hold] = {}

    def left_s_of(self, pod: Json) -> Wait:
        """Seconds of back-off before a container may follow on a run that ended."""

        def left_s(wanted: Json, state: ContainerState) -> float:
            if state.exit is None:
                return 0.0
            now = self.kit.clock.now()
            return self.kit.crashes.remaining_s(_key(pod, wanted), state.exit.finished, now)

        return left_s

    def is_held(self, pod: Json, wanted: Json) -> bool:
        """Whether it must wait for another try; a failed pull becomes a back-off meanwhile."""
        hold = self.holds.get(wanted["name"])
        if hold is None or hold.retry_at <= self.kit.clock.now():
            return False
        self.holds[wanted["name"]] = back_off_pulling(self.kit, pod, wanted, hold)
        return True

    def tries(self, pod: Json, wanted: Json, before: ContainerState | None) -> None:
        """It is started now; the next failure waits longer than the last one."""
        if before is not None and before.exit is not None:
            now = self.kit.clock.now()
            self.kit.crashes.tried(_key(pod, wanted), before.exit.finished, now)
        self.holds.pop(wanted["name"], None)

    def note(self, pod: Json, step: Plan) -> None:
        """Say of those in back-off that they are."""
        for name in step.held:
            hold, found = self.holds.get(name), pods.container_named(pod, name)
            if found is None or (hold is not None and hold.reason == CRASH_LOOP):
                continue
            delay = pods.duration_text(self.kit.crashes.delay_s(_key(pod, found[1])))
            where = pods.full_name(pod)
            message = f"back-off {delay} restarting failed container={name} pod={where}"
            self.holds[name] = Hold(CRASH_LOOP, message)
            text = f"Back-off restarting failed container {name} in pod {where}"
            self.kit.tell(pod, WARNING, "BackOff", text, name)

    def next_look(self, step: Plan, until: float | None) -> float | None:
        """Seconds until something may be tried again, or the pod's time is over."""
        now = self.kit.clock.now()
        times = list(step.held.values())
        for name, hold in self.holds.items():
            if hold.reason == "ErrImagePull":
                times.append(PULL_LOOK_S)
            elif name not in step.held:
                times.append(hold.retry_at - now if hold.retry_at else RETRY_S)
        if until is not None:
            times.append(until - now)
        return max(0.01, min(times)) if times else None

    def forget(self, uid: str) -> None:
        self.kit.crashes.forget((uid,))
        self.kit.pulls.forget((uid,))


def _key(pod: Json, wanted: Json) -> tuple[str, ...]:
    return (pods.uid_of(pod), wanted["name"], pods.container_hash(wanted))
