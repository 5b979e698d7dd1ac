"""rbac.authorization.k8s.io/v1: roles and who has them."""

from __future__ import annotations

from sampan.api.resource import Resource
from sampan.resources.rbac.binding import CLUSTERROLEBINDING, ROLEBINDING
from sampan.resources.rbac.clusterrole import CLUSTERROLE
from sampan.resources.rbac.role import ROLE

RESOURCES: tuple[Resource, ...] = (CLUSTERROLEBINDING, CLUSTERROLE, ROLEBINDING, ROLE)
