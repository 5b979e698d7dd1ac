"""Room that is left: much of it, and of cpu and memory alike."""

from __future__ import annotations

from collections.abc import Sequence

from sampan.scheduler.base import BEST
from sampan.scheduler.pod import PodView
from sampan.scheduler.state import ClusterState, NodeState

_NAMES = ("cpu", "memory")


def least_allocated(
    pod: PodView, nodes: Sequence[NodeState], cluster: ClusterState
) -> list[float] | None:
    """The share that stays free, on average; containers without a request count for something."""
    cpu, memory = pod.weight

    def free(node: NodeState) -> float:
        wanted = (node.weight[0] + cpu, node.weight[1] + memory)
        shares = [
            _free(there, amount)
            for there, amount in zip(_there(node), wanted, strict=True)
            if there > 0
        ]
        return float(sum(shares) // len(shares)) if shares else 0.0

    return [free(node) for node in nodes]


def balanced_allocation(
    pod: PodView, nodes: Sequence[NodeState], cluster: ClusterState
) -> list[float] | None:
    """How little the used shares of cpu and memory differ; no say for a pod without requests."""
    asked = [pod.requests.get(name, 0) for name in _NAMES]
    if not any(asked):
        return None

    def balance(node: NodeState) -> float:
        shares = [
            min(1.0, (node.used.get(name, 0) + amount) / there)
            for name, amount, there in zip(_NAMES, asked, _there(node), strict=True)
            if there > 0
        ]
        apart = abs(shares[0] - shares[1]) / 2 if len(shares) == 2 else 0.0
        return float(int((1 - apart) * BEST))

    return [balance(node) for node in nodes]


def _there(node: NodeState) -> tuple[int, int]:
    return node.allocatable.get("cpu", 0), node.allocatable.get("memory", 0)


def _free(there: int, amount: int) -> int:
    return (there - amount) * BEST // there if amount <= there else 0
