"""node.k8s.io/v1: container runtimes."""

from __future__ import annotations

from sampan.api.resource import Resource
from sampan.resources.node.runtimeclass import RUNTIMECLASS

RESOURCES: tuple[Resource, ...] = (RUNTIMECLASS,)
