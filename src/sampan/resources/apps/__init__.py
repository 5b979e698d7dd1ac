"""apps/v1: the kinds that keep pods running."""

from __future__ import annotations

from sampan.api.resource import Resource
from sampan.resources.apps.controllerrevision import CONTROLLERREVISION
from sampan.resources.apps.daemonset import DAEMONSET
from sampan.resources.apps.deployment import DEPLOYMENT
from sampan.resources.apps.replicaset import REPLICASET
from sampan.resources.apps.statefulset import STATEFULSET

RESOURCES: tuple[Resource, ...] = (
    CONTROLLERREVISION, DAEMONSET, DEPLOYMENT, REPLICASET, STATEFULSET,
)  # fmt: skip
