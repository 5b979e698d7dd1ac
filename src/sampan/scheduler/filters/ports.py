"""Ports of the node that another pod has."""

from __future__ import annotations

from sampan.scheduler.base import NO_SAY, Prepared, Rejected
from sampan.scheduler.pod import PodView, Port
from sampan.scheduler.state import ClusterState, NodeState

ANY = "0.0.0.0"
_REJECTED = Rejected(("node(s) didn't have free ports for the requested pod ports",))


def ports(pod: PodView, cluster: ClusterState) -> Prepared:
    wanted = pod.ports
    if not wanted:
        return NO_SAY

    def check(node: NodeState) -> Rejected | None:
        taken = [port for port, count in node.ports.items() if count > 0]
        return _REJECTED if any(clash(a, b) for a in wanted for b in taken) else None

    return Prepared(check)


def clash(one: Port, other: Port) -> bool:
    """The same port and protocol, on the same address or where one of them takes all."""
    return one[1:] == other[1:] and (one[0] == other[0] or ANY in (one[0], other[0]))
