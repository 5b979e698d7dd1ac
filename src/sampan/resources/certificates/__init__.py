"""certificates.k8s.io/v1: requests for certificates."""

from __future__ import annotations

from sampan.api.resource import Resource
from sampan.resources.certificates.csr import CERTIFICATESIGNINGREQUEST

RESOURCES: tuple[Resource, ...] = (CERTIFICATESIGNINGREQUEST,)
