"""discovery.k8s.io/v1: which addresses answer for a Service."""

from __future__ import annotations

from sampan.api.resource import Resource
from sampan.resources.discovery.endpointslice import ENDPOINTSLICE

RESOURCES: tuple[Resource, ...] = (ENDPOINTSLICE,)
