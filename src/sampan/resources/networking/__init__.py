"""networking.k8s.io/v1: the way in, who may talk to whom, and the addresses of Services."""

from __future__ import annotations

from sampan.api.resource import Resource
from sampan.resources.networking.ingress import INGRESS
from sampan.resources.networking.ingressclass import INGRESSCLASS
from sampan.resources.networking.ipaddress import IPADDRESS
from sampan.resources.networking.networkpolicy import NETWORKPOLICY
from sampan.resources.networking.servicecidr import SERVICECIDR

RESOURCES: tuple[Resource, ...] = (INGRESSCLASS, INGRESS, IPADDRESS, NETWORKPOLICY, SERVICECIDR)
