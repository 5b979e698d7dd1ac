"""Which of the possible nodes suits a pod best: one file per score, with the weights here."""

from collections.abc import Callable

from sampan.api.meta import Json
from sampan.scheduler.base import Score
from sampan.scheduler.scores import labels
from sampan.scheduler.scores.image_locality import image_locality
from sampan.scheduler.scores.node_affinity import node_affinity
from sampan.scheduler.scores.pod_affinity import pod_affinity
from sampan.scheduler.scores.resources import balanced_allocation, least_allocated
from sampan.scheduler.scores.spread import spread
from sampan.scheduler.scores.taints import taints

SCORES: dict[str, tuple[int, Score]] = {
    "TaintToleration": (3, taints),
    "NodeAffinity": (2, node_affinity),
    "PodTopologySpread": (2, spread),
    "InterPodAffinity": (2, pod_affinity),
    "NodeResourcesFit": (1, least_allocated),
    "NodeResourcesBalancedAllocation": (1, balanced_allocation),
    "ImageLocality": (1, image_locality),
}
"""Name, weight and score: upstream's default profile."""

BY_ARGUMENTS: dict[str, Callable[[Json], Score]] = {
    "NodeLabel": labels.node_label,
    "ServiceAffinity": labels.service_affinity,
}
"""Off by default; a profile enables them, with arguments in its `pluginConfig`."""
