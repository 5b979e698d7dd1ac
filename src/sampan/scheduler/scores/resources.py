"""Room that is left: much of it, and of cpu and memory alike."""

from __future__ import annotations

from collections.abc import Sequence

from sampan.scheduler.base import BEST
from sampan.scheduler.pod import PodView
from sampan.scheduler.state import ClusterState, NodeState


def least_allocated(
    pod: PodView, nodes: Sequence[NodeState], cluster: ClusterState
) -> list[float] | None:
    """The share that stays free, on average; containers without a request count for something."""
    cpu, memory = pod.weight

    def free(node: NodeState) -> float:
        cpu_there, memory_there = _there(node)
        cpu_used, memory_used = node.weight
        total = _free(cpu_there, cpu_used + cpu) + _free(memory_there, memory_used + memory)
        return float(total // ((cpu_there > 0) + (memory_there > 0) or 1))

    return [free(node) for node in nodes]


def balanced_allocation(
    pod: PodView, nodes: Sequence[NodeState], cluster: ClusterState
) -> list[float] | None:
    """How little the used shares of cpu and memory differ; no say for a pod without requests."""
    cpu, memory = pod.requests.get("cpu", 0), pod.requests.get("memory", 0)
    if not cpu and not memory:
        return None

    def balance(node: NodeState) -> float:
        cpu_there, memory_there = _there(node)
        if cpu_there <= 0 or memory_there <= 0:
            return float(BEST)
        used = node.used
        cpu_share = min(1.0, (used.get("cpu", 0) + cpu) / cpu_there)
        memory_share = min(1.0, (used.get("memory", 0) + memory) / memory_there)
        return float(int((1 - abs(cpu_share - memory_share) / 2) * BEST))

    return [balance(node) for node in nodes]


def _there(node: NodeState) -> tuple[int, int]:
    return node.allocatable.get("cpu", 0), node.allocatable.get("memory", 0)


def _free(there: int, amount: int) -> int:
    return (there - amount) * BEST // there if amount <= there else 0
