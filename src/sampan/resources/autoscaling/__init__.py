"""autoscaling: how many replicas there should be."""

from __future__ import annotations

from sampan.api.resource import Resource
from sampan.resources.autoscaling.hpa import HORIZONTALPODAUTOSCALER
from sampan.resources.autoscaling.hpa_v1 import HORIZONTALPODAUTOSCALER_V1

RESOURCES: tuple[Resource, ...] = (HORIZONTALPODAUTOSCALER, HORIZONTALPODAUTOSCALER_V1)
