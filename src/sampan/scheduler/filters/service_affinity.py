"""Pods of a Service on nodes with equal labels: the old CheckServiceAffinity, off by default.

    pluginConfig: [{name: ServiceAffinity, args: {affinityLabels: [region]}}]

The labels that the pod's nodeSelector names are taken from there; the others from the node of a
pod that the same Services already have.
"""

from __future__ import annotations

from sampan.api.meta import Json
from sampan.scheduler.base import NO_SAY, Filter, Prepared, Rejected
from sampan.scheduler.pod import PodView
from sampan.scheduler.state import ClusterState, NodeState

_REJECTED = Rejected(("node(s) didn't match service affinity",))


def service_affinity(args: Json) -> Filter:
    """The filter with these arguments."""
    keys = tuple(args.get("affinityLabels") or ())

    def prepare(pod: PodView, cluster: ClusterState) -> Prepared:
        wanted = {key: pod.selector[key] for key in keys if key in pod.selector}
        if len(wanted) < len(keys):
            wanted = _labels_of_kin(pod, cluster, keys) | wanted
        if not wanted:
            return NO_SAY

        def check(node: NodeState) -> Rejected | None:
            fits = all(node.labels.get(key) == value for key, value in wanted.items())
            return None if fits else _REJECTED

        return Prepared(check)

    return prepare


def _labels_of_kin(pod: PodView, cluster: ClusterState, keys: tuple[str, ...]) -> dict[str, str]:
    """The labels of the first node that has a pod of the same Service."""
    selector = cluster.selector_for(pod)
    if selector is None:
        return {}
    counts = cluster.in_namespace(pod.namespace, selector)
    for name in sorted(counts):
        node = cluster.nodes.get(name)
        if node is not None:
            return {key: node.labels[key] for key in keys if key in node.labels}
    return {}
