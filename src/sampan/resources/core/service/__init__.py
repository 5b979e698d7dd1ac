"""The Service: one name and address for many endpoints.

defaults.py   what is filled in without knowing the cluster
strategy.py   what an update keeps, and what it drops with a change of type
families.py   IPv4, IPv6 or both, against what the cluster serves
holds.py      the addresses and ports that it holds
validate.py   the rules, with ips.py, policies.py and status.py
table.py      its row, and the warnings
"""

from __future__ import annotations

from sampan.api import kinds, names
from sampan.api.meta import Json
from sampan.api.resource import Resource, Subresource
from sampan.resources.core.service import strategy, table
from sampan.resources.core.service.defaults import default_service
from sampan.resources.core.service.families import fill_families
from sampan.resources.core.service.holds import assign, needs
from sampan.resources.core.service.validate import validate
from sampan.resources.options import PROXY_VERBS, SERVICE_PROXY_OPTIONS


def _cluster_ip(svc: Json) -> str:
    return str(svc["spec"].get("clusterIP") or "")


def _type(svc: Json) -> str:
    return str(svc["spec"].get("type") or "")


SERVICE = Resource(
    id=kinds.SERVICES,
    schema="io.k8s.api.core.v1.Service",
    singular="service",
    metadata_checks="changes",
    short=("svc",),
    categories=("all",),
    defaults=default_service,
    prepare=strategy.prepare,
    families=fill_families,
    needs=needs,
    assign=assign,
    validate=validate,
    warnings=table.warnings,
    columns=table.COLUMNS,
    fields={"spec.clusterIP": _cluster_ip, "spec.type": _type},
    subresources=(
        Subresource("proxy", SERVICE_PROXY_OPTIONS, PROXY_VERBS),
        Subresource("status", kinds.SERVICES),
    ),
    generation=False,
    create_on_update=True,
    returns_deleted=True,
    name_rule=names.name_is_label,
)
