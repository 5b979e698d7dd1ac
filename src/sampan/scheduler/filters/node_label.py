"""Nodes that have, or lack, certain labels: the old CheckNodeLabelPresence, off by default.

pluginConfig: [{name: NodeLabel, args: {presentLabels: [ssd], absentLabels: [retiring]}}]
"""

from __future__ import annotations

from sampan.api.meta import Json
from sampan.scheduler.base import Filter, Prepared, Rejected
from sampan.scheduler.pod import PodView
from sampan.scheduler.state import ClusterState, NodeState

_REJECTED = Rejected(("node(s) didn't have the requested labels",), final=True)


def node_label(args: Json) -> Filter:
    """The filter with these arguments."""
    present = frozenset(args.get("presentLabels") or ())
    absent = frozenset(args.get("absentLabels") or ())

    def prepare(pod: PodView, cluster: ClusterState) -> Prepared:
        def check(node: NodeState) -> Rejected | None:
            labels = node.labels.keys()
            return None if present <= labels and not absent & labels else _REJECTED

        return Prepared(check)

    return prepare
