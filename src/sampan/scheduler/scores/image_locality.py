"""Nodes that have the pod's images already, weighed by size and by how many nodes have them."""

from __future__ import annotations

from collections.abc import Sequence

from sampan.scheduler.base import BEST
from sampan.scheduler.pod import PodView
from sampan.scheduler.state import ClusterState, NodeState

LEAST = 23 << 20
"""An image smaller than that is no reason; per container."""
MOST = 1000 << 20


def image_locality(
    pod: PodView, nodes: Sequence[NodeState], cluster: ClusterState
) -> list[float] | None:
    images = [with_tag(image) for image in pod.images if image]
    if not any(cluster.images[image] for image in images):
        return None
    everywhere = len(cluster.nodes)
    spread = {image: cluster.images[image] / everywhere for image in images}
    most = MOST * pod.containers

    def score(node: NodeState) -> float:
        there = sum(int(node.images.get(image, 0) * spread[image]) for image in images)
        return float(BEST * (min(max(there, LEAST), most) - LEAST) // (most - LEAST))

    return [score(node) for node in nodes]


def with_tag(image: str) -> str:
    """The name as nodes report it: with `:latest` where there is no tag."""
    return image if ":" in image.rsplit("/", 1)[-1] or "@" in image else f"{image}:latest"
