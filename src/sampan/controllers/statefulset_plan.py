"""The next step of a StatefulSet: which pods to make, change and delete now. Pure.

Ordered sets do one thing at a time and wait for each pod; parallel ones do all at once, but update
one pod after the other too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sampan.api.meta import Json
from sampan.controllers import statefulset_pods as members
from sampan.controllers.pods import is_terminating, phase


@dataclass(frozen=True, slots=True)
class View:
    """A StatefulSet, its pods and its two templates at one moment."""

    statefulset: Json
    pods: Sequence[Json]
    current: Json
    """The ControllerRevision that pods are coming from."""
    update: Json
    """The one they are going to."""
    current_template: Json
    update_template: Json
    now: float

    @property
    def replicas(self) -> int:
        wanted = self.statefulset["spec"].get("replicas")
        return 1 if wanted is None else int(wanted)

    @property
    def is_ordered(self) -> bool:
        return bool(self.statefulset["spec"].get("podManagementPolicy") != "Parallel")

    @property
    def strategy(self) -> Json:
        found: Json = self.statefulset["spec"].get("updateStrategy") or {}
        return found

    @property
    def partition(self) -> int:
        return int((self.strategy.get("rollingUpdate") or {}).get("partition") or 0)

    def is_available(self, pod: Json) -> bool:
        need = self.statefulset["spec"].get("minReadySeconds") or 0
        return members.is_available(pod, need, self.now)


@dataclass(slots=True)
class Step:
    create: list[Json] = field(default_factory=list)
    change: list[Json] = field(default_factory=list)
    """Pods whose labels or claims do not fit their number."""
    delete: list[Json] = field(default_factory=list)


def step(view: View) -> Step:
    """What to do now; nothing means wait or done."""
    start = members.first_ordinal(view.statefulset)
    slots: dict[int, Json | None] = dict.fromkeys(range(start, start + view.replicas))
    condemned: list[tuple[int, Json]] = []
    for pod in view.pods:
        ordinal = members.ordinal_of(view.statefulset, pod)
        if ordinal in slots:
            slots[ordinal] = pod
        elif ordinal is not None:
            condemned.append((ordinal, pod))
    condemned.sort(key=lambda item: -item[0])
    plan = Step()
    if not _fill(view, slots, plan):
        return plan
    unhealthy = _first_unhealthy(slots, condemned)
    if not _shrink(view, [pod for _, pod in condemned], unhealthy, plan):
        return plan
    if view.strategy.get("type", "RollingUpdate") == "RollingUpdate":
        _update(view, slots, start, plan)
    return plan


def _fill(view: View, slots: dict[int, Json | None], plan: Step) -> bool:
    """Make missing pods. Whether the next stage may begin: an ordered set waits for each pod, a
    parallel one only for those that ended.
    """
    ended = False
    for ordinal, pod in slots.items():
        if pod is None:
            plan.create.append(_pod(view, ordinal))
        elif phase(pod) in ("Failed", "Succeeded"):
            ended = True
            if not is_terminating(pod):
                plan.delete.append(pod)
        elif view.is_ordered and (is_terminating(pod) or not view.is_available(pod)):
            return False
        else:
            fitting = members.with_identity(view.statefulset, pod, ordinal)
            if fitting is not pod and not is_terminating(pod):
                plan.change.append(fitting)
        if view.is_ordered and (ended or plan.create):
            return False
    return not ended


def _pod(view: View, ordinal: int) -> Json:
    if _is_of_current(view, ordinal):
        template, revision = view.current_template, view.current
    else:
        template, revision = view.update_template, view.update
    name = revision["metadata"]["name"]
    return members.new_pod(view.statefulset, template, ordinal, name)


def _is_of_current(view: View, ordinal: int) -> bool:
    """Whether a pod made anew gets the old template: below the partition, or not yet reached."""
    start = members.first_ordinal(view.statefulset)
    if view.strategy.get("rollingUpdate") is not None:
        return ordinal < start + view.partition
    kept = (view.statefulset.get("status") or {}).get("currentReplicas") or 0
    rolling = view.strategy.get("type", "RollingUpdate") == "RollingUpdate"
    return bool(rolling and ordinal < start + kept)


def _first_unhealthy(slots: dict[int, Json | None], condemned: Sequence[tuple[int, Json]]) -> str:
    """The unhealthy pod with the lowest number: it may go although it is not ready."""
    everyone = [*slots.items(), *condemned]
    for _, pod in sorted(everyone, key=lambda item: item[0]):
        if pod is not None and not members.is_healthy(pod):
            name: str = pod["metadata"]["name"]
            return name
    return ""


def _shrink(view: View, condemned: Sequence[Json], unhealthy: str, plan: Step) -> bool:
    for pod in condemned:
        if is_terminating(pod):
            if view.is_ordered:
                return False
            continue
        waits = not view.is_available(pod) and pod["metadata"]["name"] != unhealthy
        if view.is_ordered and waits:
            return False
        plan.delete.append(pod)
        if view.is_ordered:
            return False
    return True


def _update(view: View, slots: dict[int, Json | None], start: int, plan: Step) -> None:
    name = view.update["metadata"]["name"]
    for ordinal in sorted(slots, reverse=True):
        pod = slots[ordinal]
        if pod is None or ordinal < start + view.partition:
            return
        if members.revision_of(pod) != name and not is_terminating(pod):
            plan.delete.append(pod)
            return
        if not members.is_healthy(pod) or not view.is_available(pod):
            return


def status_of(view: View, made: int, collisions: int) -> Json:
    """The status, `made` pods (just created, not seen yet) counted in."""
    update_name = view.update["metadata"]["name"]
    current_name = view.current["metadata"]["name"]
    alive = [pod for pod in view.pods if members.is_created(pod)]
    staying = [pod for pod in alive if not is_terminating(pod)]
    updated = sum(members.revision_of(pod) == update_name for pod in staying)
    current = sum(members.revision_of(pod) == current_name for pod in staying)
    ready = sum(members.is_running_and_ready(pod) for pod in alive)
    status: Json = {
        "replicas": len(alive) + made,
        "availableReplicas": sum(view.is_available(pod) for pod in alive),
        "collisionCount": collisions,
        "currentRevision": current_name,
        "updateRevision": update_name,
        "observedGeneration": view.statefulset["metadata"].get("generation", 0),
    }
    rolling = view.strategy.get("type", "RollingUpdate") == "RollingUpdate"
    if rolling and updated == len(alive) == ready == view.replicas and not made:
        status["currentRevision"], current = update_name, updated
    counts = {"readyReplicas": ready, "currentReplicas": current, "updatedReplicas": updated}
    return status | {name: count for name, count in counts.items() if count}
