"""resource.k8s.io/v1: devices (dynamic resource allocation), as objects."""

from __future__ import annotations

from sampan.api.resource import Resource
from sampan.resources.resource.deviceclass import DEVICECLASS
from sampan.resources.resource.resourceclaim import RESOURCECLAIM
from sampan.resources.resource.resourceclaimtemplate import RESOURCECLAIMTEMPLATE
from sampan.resources.resource.resourceslice import RESOURCESLICE

RESOURCES: tuple[Resource, ...] = (
    DEVICECLASS, RESOURCECLAIM, RESOURCECLAIMTEMPLATE, RESOURCESLICE,
)  # fmt: skip
