"""Which of the possible nodes suits a pod best: one file per score, with the weights here."""

from collections.abc import Callable

from sampan.api.meta import Json
from sampan.scheduler.base import Score
from sampan.scheduler.scores import labels
from sampan.scheduler.scores.image_locality import image_locality
from sampan.scheduler.scores.node_affinity import added, node_affinity
from sampan.scheduler.scores.pod_affinity import mutual, pod_affinity
from sampan.scheduler.scores.resources import (
    balance,
    balanced_allocation,
    fit,
    least_allocated,
)
from sampan.scheduler.scores.spread import spread, spreading
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
    "NodeAffinity": added,
    "PodTopologySpread": spreading,
    "InterPodAffinity": mutual,
    "NodeResourcesFit": fit,
    "NodeResourcesBalancedAllocation": balance,
    "NodeLabel": labels.node_label,
    "ServiceAffinity": labels.service_affinity,
}
"""Those that a profile's `pluginConfig` may change. The last two are off until a profile enables
them.
"""
