"""coordination.k8s.io/v1: locks that components hold."""

from __future__ import annotations

from sampan.api.resource import Resource
from sampan.resources.coordination.lease import LEASE

RESOURCES: tuple[Resource, ...] = (LEASE,)
