"""Making room: which pods of lower priority must go so that a pod of higher priority fits.

Pure but for the cluster state, from which pods are taken and put back while it looks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sampan.api import selectors
from sampan.api.meta import Json
from sampan.scheduler.base import Rejected
from sampan.scheduler.decision import Profile, Unplaced, question, told
from sampan.scheduler.pod import PodView
from sampan.scheduler.state import ClusterState

_NOT_HELPFUL = Rejected(("Preemption is not helpful for scheduling",), final=True)
_NO_VICTIMS = Rejected(("No preemption victims found for incoming pod",), final=True)
PREFIX = "no new claims to deallocate, preemption: "
"""How the part of the message begins; the first half speaks of resource claims."""


@dataclass(frozen=True, slots=True)
class NoRoom:
    """Why nobody goes. `final`: a node that was promised before is promised no longer."""

    message: str
    final: bool = True


@dataclass(frozen=True, slots=True)
class Plan:
    """The pods that must go from a node."""

    node: str
    victims: tuple[PodView, ...]
    violations: int
    """How many of them go against a disruption budget."""


def preempt(
    pod: PodView,
    cluster: ClusterState,
    profile: Profile,
    failed: Unplaced,
    budgets: Sequence[Json] = (),
) -> Plan | NoRoom:
    """Where room can be made, or why that does not help."""
    if not failed.total:
        return NoRoom("")
    if failed.refusal:
        return NoRoom("not found")
    why = _not_eligible(pod, cluster, failed)
    if why:
        return NoRoom(f"{PREFIX}not eligible due to {why}.", final=False)
    enough = max(profile.candidates_least, failed.total * profile.candidates_share // 100)
    plans: list[Plan] = []
    reasons: dict[str, Rejected] = {}
    for name, rejected in failed.rejected.items():
        if rejected.final or len(plans) >= enough:
            reasons[name] = _NOT_HELPFUL
            continue
        found = _plan_for(pod, name, cluster, profile, budgets)
        if isinstance(found, Plan):
            plans.append(found)
        else:
            reasons[name] = found
    if plans:
        return min(plans, key=_cost)
    return NoRoom(PREFIX + told(failed.total, reasons.values()))


def _not_eligible(pod: PodView, cluster: ClusterState, failed: Unplaced) -> str:
    if pod.spec.get("preemptionPolicy") == "Never":
        return "preemptionPolicy=Never"
    node = cluster.nodes.get(pod.nominated)
    against = failed.rejected.get(pod.nominated)
    if node is None or (against is not None and against.final):
        return ""
    if any(other.preempted and other.priority < pod.priority for other in node.pods.values()):
        return "a terminating pod on the nominated node"
    return ""


def _plan_for(
    pod: PodView, name: str, cluster: ClusterState, profile: Profile, budgets: Sequence[Json]
) -> Plan | Rejected:
    """The fewest and least important pods of a node that make enough room."""
    node = cluster.nodes[name]
    lesser = [other for other in node.pods.values() if other.priority < pod.priority]
    if not lesser:
        return _NO_VICTIMS
    lesser.sort(key=_importance)
    try:
        for other in lesser:
            cluster.displace(other.key)
        against = _fits(pod, name, cluster, profile)
        if against is not None:
            return against
        violating, others = _by_budget(lesser, budgets)
        victims = []
        for other in (*violating, *others):
            cluster.place(other, name)
            if _fits(pod, name, cluster, profile) is not None:
                cluster.displace(other.key)
                victims.append(other)
    finally:
        for other in lesser:
            cluster.place(other, name)
    violations = sum(other in violating for other in victims)
    return Plan(name, tuple(sorted(victims, key=_importance)), violations)


def _fits(pod: PodView, name: str, cluster: ClusterState, profile: Profile) -> Rejected | None:
    asked = question(pod, cluster, profile)
    if asked.refusal is not None:
        return Rejected((asked.refusal[1],), final=True)
    found = asked.ask(cluster.nodes[name])
    return found[1] if found else None


def _importance(pod: PodView) -> tuple[int, str]:
    """The most important first: priority, then who runs longest."""
    return -pod.priority, pod.started or "9999"


def _by_budget(
    pods: Iterable[PodView], budgets: Sequence[Json]
) -> tuple[list[PodView], list[PodView]]:
    """Pods whose going a disruption budget forbids, and the others."""
    allowed = [
        (
            budget["metadata"].get("namespace", ""),
            selectors.from_object(budget["spec"].get("selector")),
            (budget.get("status") or {}).get("disruptedPods") or {},
        )
        for budget in budgets
    ]
    left = [(budget.get("status") or {}).get("disruptionsAllowed", 0) for budget in budgets]
    violating: list[PodView] = []
    others: list[PodView] = []
    for pod in pods:
        mine = [
            index
            for index, (namespace, selector, granted) in enumerate(allowed)
            # A budget for all pods is none for preemption, and a granted eviction is paid for.
            if namespace == pod.namespace and pod.labels and selector
            and selector.matches(pod.labels) and pod.key.name not in granted
        ]  # fmt: skip
        for index in mine:
            left[index] -= 1
        (violating if any(left[index] < 0 for index in mine) else others).append(pod)
    return violating, others


def _cost(plan: Plan) -> tuple[int, int, int, int, tuple[int, ...]]:
    """The cheapest plan: budgets, the most important victim, their sum, their number, and then
    the node whose most important victims began last (by the one that runs longest).
    """
    first = plan.victims[0] if plan.victims else None
    priorities = [victim.priority for victim in plan.victims]
    most = first.priority if first else -(2**31)
    began = min((v.started or "9999" for v in plan.victims if v.priority == most), default="")
    return (
        plan.violations,
        most,
        sum(priority + 2**31 for priority in priorities),
        len(priorities),
        tuple(-ord(char) for char in began),
    )
