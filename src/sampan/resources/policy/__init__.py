"""policy/v1: what evictions must respect. Eviction itself is a subresource of pods."""

from __future__ import annotations

from sampan.api.resource import Resource
from sampan.resources.policy.poddisruptionbudget import PODDISRUPTIONBUDGET

RESOURCES: tuple[Resource, ...] = (PODDISRUPTIONBUDGET,)
