"""Which nodes can take a pod at all: one file per filter, asked in the order of this table."""

from collections.abc import Callable

from sampan.api.meta import Json
from sampan.scheduler.base import Filter
from sampan.scheduler.filters.devices import devices
from sampan.scheduler.filters.node_affinity import added, node_affinity
from sampan.scheduler.filters.node_label import node_label
from sampan.scheduler.filters.node_name import node_name
from sampan.scheduler.filters.node_unschedulable import node_unschedulable
from sampan.scheduler.filters.pod_affinity import pod_affinity
from sampan.scheduler.filters.ports import ports
from sampan.scheduler.filters.resources import fit, resources
from sampan.scheduler.filters.service_affinity import service_affinity
from sampan.scheduler.filters.spread import spread, spreading
from sampan.scheduler.filters.taints import taints
from sampan.scheduler.filters.volumes import (
    volume_binding,
    volume_limits,
    volume_restrictions,
    volume_zone,
)

FILTERS: dict[str, Filter] = {
    "NodeUnschedulable": node_unschedulable,
    "NodeName": node_name,
    "TaintToleration": taints,
    "NodeAffinity": node_affinity,
    "NodePorts": ports,
    "NodeResourcesFit": resources,
    "VolumeRestrictions": volume_restrictions,
    "NodeVolumeLimits": volume_limits,
    "VolumeBinding": volume_binding,
    "VolumeZone": volume_zone,
    "PodTopologySpread": spread,
    "InterPodAffinity": pod_affinity,
    "DynamicResources": devices,
}
"""Upstream's order: the first that rejects a node gives the reason, so the order is behaviour."""

BY_ARGUMENTS: dict[str, Callable[[Json], Filter]] = {
    "NodeAffinity": added,
    "NodeResourcesFit": fit,
    "PodTopologySpread": spreading,
    "NodeLabel": node_label,
    "ServiceAffinity": service_affinity,
}
"""Those that a profile's `pluginConfig` may change. The last two are off until a profile enables
them.
"""
