"""apiextensions.k8s.io/v1: definitions of custom resources."""

from __future__ import annotations

from sampan.api.resource import Resource
from sampan.resources.apiextensions.crd import CUSTOMRESOURCEDEFINITION

RESOURCES: tuple[Resource, ...] = (CUSTOMRESOURCEDEFINITION,)
