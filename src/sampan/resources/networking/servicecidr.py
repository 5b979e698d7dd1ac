"""ServiceCIDR: a range from which Services get their addresses."""

from __future__ import annotations

from sampan.api import kinds
from sampan.api.meta import Json
from sampan.api.resource import METADATA_OF_STATUS, Resource, Subresource
from sampan.resources import addresses, cells, rules
from sampan.resources.rules import Errors


def validate(new: Json, old: Json | None, subresource: str) -> Errors:
    if subresource == "status":
        return []
    cidrs = (new.get("spec") or {}).get("cidrs") or []
    if old is None:
        return _cidrs(cidrs)
    before = (old.get("spec") or {}).get("cidrs") or []
    if len(before) == 1 and len(cidrs) == 2 and cidrs[0] == before[0]:
        return _cidrs(cidrs)  # One family may become two.
    return rules.immutable("spec.cidrs", cidrs or None, before or None)


def _cidrs(cidrs: list[str]) -> Errors:
    if not cidrs:
        return rules.required("spec.cidrs", "at least one CIDR required")
    if len(cidrs) > 2:
        return rules.invalid("spec.cidrs", cidrs, "may only hold up to 2 values")
    errors: Errors = []
    if len(cidrs) == 2 and addresses.is_ipv6(cidrs[0]) == addresses.is_ipv6(cidrs[1]):
        says = (
            "may specify no more than one IP for each IP family, "
            "i.e 192.168.0.0/24 and 2001:db8::/64"
        )
        errors += rules.invalid("spec.cidrs", cidrs, says)
    for at, cidr in enumerate(cidrs):
        errors += addresses.canonical_cidr(f"spec.cidrs[{at}]", cidr)
    return errors


SERVICECIDR = Resource(
    id=kinds.SERVICECIDRS,
    schema="io.k8s.api.networking.v1.ServiceCIDR",
    singular="servicecidr",
    metadata_checks="changes",
    status_keeps=METADATA_OF_STATUS,
    validate=validate,
    columns=(
        cells.NAME,
        cells.column("CIDRs", lambda obj: cells.joined((obj.get("spec") or {}).get("cidrs") or ())),
        cells.AGE,
    ),
    subresources=(Subresource("status", kinds.SERVICECIDRS),),
    generation=False,
)
