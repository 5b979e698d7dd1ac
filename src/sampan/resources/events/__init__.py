"""events.k8s.io/v1: what happened, told by controllers."""

from __future__ import annotations

from sampan.api.resource import Resource
from sampan.resources.events.event import EVENT

RESOURCES: tuple[Resource, ...] = (EVENT,)
