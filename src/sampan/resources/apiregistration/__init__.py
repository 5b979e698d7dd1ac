"""apiregistration.k8s.io/v1: who serves which group."""

from __future__ import annotations

from sampan.api.resource import Resource
from sampan.resources.apiregistration.apiservice import APISERVICE

RESOURCES: tuple[Resource, ...] = (APISERVICE,)
