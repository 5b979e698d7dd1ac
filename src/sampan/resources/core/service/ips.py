"""The rules of clusterIP, clusterIPs, ipFamilies and ipFamilyPolicy, and how they may change."""

from __future__ import annotations

from sampan.api.meta import Json
from sampan.resources import addresses
from sampan.resources.core.service import traits
from sampan.resources.rules import Errors, duplicate, invalid, not_supported, required

IPS, FAMILIES, POLICY = "spec.clusterIPs", "spec.ipFamilies", "spec.ipFamilyPolicy"
POLICIES = ("PreferDualStack", "RequireDualStack", "SingleStack")
ONCE_SET = "may not change once set"


def validate_ips(spec: Json, before: Json | None = None) -> Errors:
    """`before` has addresses that may stay even if they would not be taken today."""
    if spec.get("type") == "ExternalName":
        return []
    one, many = spec.get("clusterIP") or "", spec.get("clusterIPs") or []
    families = spec.get("ipFamilies") or []
    errors = _one_and_many(one, many)
    seen: set[str] = set()
    for at, family in enumerate(families):
        if family not in ("IPv4", "IPv6"):
            errors += not_supported(f"{FAMILIES}[{at}]", family, ("IPv4", "IPv6"))
        if family in seen:
            errors += duplicate(f"{FAMILIES}[{at}]", family)
        seen.add(family)
    policy = spec.get("ipFamilyPolicy")
    if policy is not None and policy not in POLICIES:
        errors += not_supported(POLICY, policy, POLICIES)
    wrong = _each_ip(many, set((before or {}).get("clusterIPs") or ()))
    errors += wrong
    if len(many) > 2:
        errors += invalid(IPS, many, "may only hold up to 2 values")
    if wrong:
        return errors
    if len(many) > 1 and len({addresses.is_ipv6(ip) for ip in many}) != 2:
        errors += invalid(IPS, many, "may specify no more than one IP for each IP family")
    return errors + ([] if traits.is_headless(spec) else _by_family(many, families))


def validate_ip_changes(new: Json, old: Json) -> Errors:
    """The first address is for life; the second may come and go."""
    if "ExternalName" in (new["type"], old["type"]):
        return []
    headless = traits.is_headless(new), traits.is_headless(old)
    errors: Errors = []
    if not all(headless):
        errors += _changed_ips(new, old)
    if not any(headless):
        errors += _changed_families(new, old)
    return errors


def _one_and_many(one: str, many: list[str]) -> Errors:
    if not one:
        says = "must be empty when `clusterIP` is not specified"
        return invalid(IPS, many, says) if many else []
    if not many:
        return required(IPS)
    if many[0] != one:
        return invalid(IPS, many, "first value must match `clusterIP`")
    return []


def _each_ip(many: list[str], known: set[str]) -> Errors:
    errors: Errors = []
    for at, ip in enumerate(many):
        if at == 0 and ip == "None":
            if len(many) > 1:
                errors += invalid(IPS, many, "'None' must be the first and only value")
            continue
        errors += addresses.ip(f"{IPS}[{at}]", ip, known)
    return errors


def _by_family(many: list[str], families: list[str]) -> Errors:
    errors: Errors = []
    for at, (ip, family) in enumerate(zip(many, families, strict=False)):
        if addresses.is_ipv6(ip) != (family == "IPv6"):
            says = f"expected an {family} value as indicated by `ipFamilies[{at}]`"
            errors += invalid(f"{IPS}[{at}]", ip, says)
    return errors


def _changed_ips(new: Json, old: Json) -> Errors:
    now, was = new.get("clusterIPs") or [], old.get("clusterIPs") or []
    errors: Errors = []
    if len(now) == len(was):
        for at, ip in enumerate(was):
            if now[at] != ip:
                errors += invalid(f"{IPS}[{at}]", now, ONCE_SET)
        return errors
    if not now:
        errors += invalid(f"{IPS}[0]", now, "primary clusterIP can not be unset")
    if now and was and now[0] != was[0]:
        errors += invalid(f"{IPS}[0]", now, ONCE_SET)
    policy = new.get("ipFamilyPolicy")
    if len(was) > len(now) == 1 and policy != "SingleStack":
        says = "must be set to 'SingleStack' when releasing the secondary clusterIP"
        errors += invalid(POLICY, policy, says)
    return errors


def _changed_families(new: Json, old: Json) -> Errors:
    now, was = new.get("ipFamilies") or [], old.get("ipFamilies") or []
    errors: Errors = []
    if len(now) == len(was):
        for at, family in enumerate(was):
            if now[at] != family:
                errors += invalid(f"{FAMILIES}[0]", now, ONCE_SET)
        return errors
    if len(was) > len(now) and not new.get("clusterIPs"):
        errors += invalid(f"{FAMILIES}[0]", now, "primary ipFamily can not be unset")
    if now and was and now[0] != was[0]:
        errors += invalid(f"{FAMILIES}[0]", new.get("clusterIPs") or [], ONCE_SET)
    policy = new.get("ipFamilyPolicy")
    if len(was) > len(now) == 1 and policy != "SingleStack":
        says = "must be set to 'SingleStack' when releasing the secondary ipFamily"
        errors += invalid(POLICY, policy, says)
    return errors
