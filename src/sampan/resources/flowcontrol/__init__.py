"""flowcontrol.apiserver.k8s.io/v1: which requests go first."""

from __future__ import annotations

from sampan.api.resource import Resource
from sampan.resources.flowcontrol.flowschema import FLOWSCHEMA
from sampan.resources.flowcontrol.prioritylevelconfiguration import PRIORITYLEVELCONFIGURATION

RESOURCES: tuple[Resource, ...] = (FLOWSCHEMA, PRIORITYLEVELCONFIGURATION)
