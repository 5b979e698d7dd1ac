"""Which IP families a Service has: what the client asks for against what the cluster serves."""

from __future__ import annotations

from collections.abc import Sequence

from sampan.api.meta import Json
from sampan.resources import addresses
from sampan.resources.core.service import traits
from sampan.resources.core.service.ips import validate_ips
from sampan.resources.rules import Errors, invalid

OTHER = {"IPv4": "IPv6", "IPv6": "IPv4"}
POLICY = "spec.ipFamilyPolicy"


def fill_families(new: Json, old: Json | None, served: Sequence[str]) -> Errors:
    """Choose the policy and the families; `served` begins with the cluster's default."""
    spec, before = new["spec"], old["spec"] if old else None
    if spec["type"] == "ExternalName" or _prefers_both_still(spec, before):
        return []
    if spec.get("ipFamilyPolicy") is None:
        spec["ipFamilyPolicy"] = _policy(spec, before)
    if errors := validate_ips(spec, before):
        return errors
    errors = _reduce(spec, before) if before is not None else []
    errors += _too_many(spec)
    errors += _infer(spec, served)
    if errors:
        return errors
    if spec.get("clusterIP") == "None" and not spec.get("selector"):
        _anywhere(spec, served)
        return []
    return _match(spec, served)


def _prefers_both_still(spec: Json, before: Json | None) -> bool:
    """PreferDualStack does not follow the cluster: only a change of the client's does."""
    if before is None or spec["type"] != before["type"]:
        return False
    policies = (spec.get("ipFamilyPolicy"), before.get("ipFamilyPolicy"))
    return (
        policies[0] == "PreferDualStack"
        and policies[1] in (None, "PreferDualStack")
        and traits.same(spec, before, "clusterIPs")
        and traits.same(spec, before, "ipFamilies")
    )


def _policy(spec: Json, before: Json | None) -> str:
    """Never a change between one and two families that nobody asked for."""
    if before is not None and before.get("ipFamilyPolicy") is not None:
        return str(before["ipFamilyPolicy"])
    if spec.get("clusterIP") == "None" and not spec.get("selector"):
        return "RequireDualStack"
    return "SingleStack"


def _reduce(spec: Json, before: Json) -> Errors:
    """SingleStack alone says that the second address goes; else it may not go unsaid."""
    errors: Errors = []
    for field, what in (("clusterIPs", "cluster IP"), ("ipFamilies", "IP family")):
        values, had = spec.get(field) or [], before.get(field) or []
        if spec["ipFamilyPolicy"] == "SingleStack":
            if values == had and len(values) > 1:
                spec[field] = values[:1]
        elif len(values) < len(had) and values and values == had[: len(values)]:
            says = f"must be 'SingleStack' to release the secondary {what}"
            errors += invalid(POLICY, spec["ipFamilyPolicy"], says)
    return errors


def _too_many(spec: Json) -> Errors:
    errors: Errors = []
    if spec["ipFamilyPolicy"] != "SingleStack":
        return errors
    for field, what in (("clusterIPs", "cluster IPs"), ("ipFamilies", "IP families")):
        if len(spec.get(field) or ()) == 2:
            says = (
                f"must be 'RequireDualStack' or 'PreferDualStack' when multiple {what} "
                "are specified"
            )
            errors += invalid(POLICY, "SingleStack", says)
    return errors


def _infer(spec: Json, served: Sequence[str]) -> Errors:
    """Families follow from addresses that the client gave."""
    errors: Errors = []
    known = list(spec.get("ipFamilies") or ())
    for at, ip in enumerate(spec.get("clusterIPs") or ()):
        if ip == "None":
            break
        if at < len(known):
            continue
        family = "IPv6" if addresses.is_ipv6(ip) else "IPv4"
        if family in served:
            known.append(family)
        else:
            says = f"{family} is not configured on this cluster"
            errors += invalid(f"spec.clusterIPs[{at}]", spec["clusterIPs"], says)
    if known:
        spec["ipFamilies"] = known
    return errors


def _anywhere(spec: Json, served: Sequence[str]) -> None:
    """Headless and without selector: its endpoints may be anywhere, whatever the cluster has."""
    known = list(spec.get("ipFamilies") or served[:1])
    if len(known) < 2 and spec["ipFamilyPolicy"] != "SingleStack":
        known.append(OTHER[known[0]])
    spec["ipFamilies"] = known


def _match(spec: Json, served: Sequence[str]) -> Errors:
    errors: Errors = []
    policy, known = spec["ipFamilyPolicy"], list(spec.get("ipFamilies") or ())
    if policy == "RequireDualStack" and len(served) < 2:
        says = "this cluster is not configured for dual-stack services"
        errors += invalid(POLICY, policy, says)
    for at, family in enumerate(known):
        if family not in served:
            says = "not configured on this cluster"
            errors += invalid(f"spec.ipFamilies[{at}]", family, says)
    if errors:
        return errors
    known = known or list(served[:1])
    if policy != "SingleStack" and len(known) == 1 and len(served) == 2:
        known.append(OTHER[known[0]])
    spec["ipFamilies"] = known
    return []
