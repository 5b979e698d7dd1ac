"""scheduling.k8s.io/v1: how important pods are."""

from __future__ import annotations

from sampan.api.resource import Resource
from sampan.resources.scheduling.priorityclass import PRIORITYCLASS

RESOURCES: tuple[Resource, ...] = (PRIORITYCLASS,)
