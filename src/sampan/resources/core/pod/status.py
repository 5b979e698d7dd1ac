"""The rules of a pod's status, which mostly the kubelet writes."""

from __future__ import annotations

from collections.abc import Sequence

from sampan.api import names
from sampan.api.meta import Json
from sampan.resources import addresses
from sampan.resources.core.pod.security import MAX_ID
from sampan.resources.rules import (
    Errors,
    duplicate,
    each,
    forbidden,
    immutable,
    invalid,
    not_supported,
)

OWN_CONDITIONS = ("PodScheduled", "Ready", "Initialized")
HEALTH = ("Healthy", "Unhealthy", "Unknown")


def validate_status(new: Json, old: Json) -> Errors:
    status, before, spec = new.get("status") or {}, old.get("status") or {}, old["spec"]
    errors: Errors = []
    for at, condition in enumerate(status.get("conditions") or ()):
        kind, here = condition.get("type") or "", f"status.conditions[{at}]"
        errors += _generation(f"{here}.observedGeneration", condition)
        if kind not in OWN_CONDITIONS:
            errors += each(f"{here}.Type", kind, names.qualified_name(kind))
    node = status.get("nominatedNodeName") or ""
    if node and node != before.get("nominatedNodeName"):
        errors += each("status.nominatedNodeName", node, names.dns1123_subdomain(node))
        if spec.get("nodeName"):
            says = "may not be set on pods that are already bound to a node"
            errors += forbidden("status.nominatedNodeName", says)
    errors += _generation("status.observedGeneration", status)
    errors += immutable("status.qosClass", status.get("qosClass"), before.get("qosClass"))
    errors += _transitions(status, before, spec)
    errors += _claims(status.get("resourceClaimStatuses") or (), spec)
    errors += _addresses("status.podIPs", status.get("podIPs") or [], before.get("podIPs") or [])
    errors += _host_addresses(status, before)
    windows = (spec.get("os") or {}).get("name") == "windows"
    for field, containers in (
        ("containerStatuses", "containers"),
        ("initContainerStatuses", "initContainers"),
        ("ephemeralContainerStatuses", ""),
    ):
        entries = status.get(field) or ()
        errors += _users(f"status.{field}", entries, windows=windows)
        errors += _devices(f"status.{field}", entries, spec.get(containers) or ())
    return errors


def _generation(path: str, holder: Json) -> Errors:
    seen = holder.get("observedGeneration") or 0
    return invalid(path, seen, "must be a non-negative integer") if seen < 0 else []


def _transitions(status: Json, before: Json, spec: Json) -> Errors:
    """What ended and may not start again stays ended."""
    errors: Errors = []
    restartable = _all_restart(spec)
    for field, containers in (
        ("containerStatuses", "containers"),
        ("initContainerStatuses", "initContainers"),
        ("ephemeralContainerStatuses", ""),
    ):
        if restartable and containers:
            continue
        known = {container.get("name"): container for container in spec.get(containers) or ()}
        now = {entry.get("name"): entry for entry in status.get(field) or ()}
        for at, entry in enumerate(before.get(field) or ()):
            ended = (entry.get("state") or {}).get("terminated")
            newer = now.get(entry.get("name"))
            if ended is None or newer is None or "terminated" in (newer.get("state") or {}):
                continue
            container = known.get(entry.get("name"))
            if container is None or not _restarts(container, spec, ended.get("exitCode", 0)):
                says = "may not be transitioned to non-terminated state"
                errors += forbidden(f"status.{field}[{at}].state", says)
    return errors


def _all_restart(spec: Json) -> bool:
    """One container may be able to restart all of the pod."""
    return any(
        rule.get("action") == "RestartAllContainers"
        for field in ("containers", "initContainers")
        for container in spec.get(field) or ()
        for rule in container.get("restartPolicyRules") or ()
    )


def _restarts(container: Json, spec: Json, code: int) -> bool:
    """By its rules, else by its own policy, else by the pod's."""
    for rule in container.get("restartPolicyRules") or ():
        codes = rule.get("exitCodes") or {}
        listed = code in (codes.get("values") or ())
        if listed == (codes.get("operator") == "In"):
            return True
    policy = container.get("restartPolicy") or spec.get("restartPolicy") or "Always"
    return bool(policy == "Always" or (policy == "OnFailure" and code))


def _claims(entries: Sequence[Json], spec: Json) -> Errors:
    known = {claim.get("name") for claim in spec.get("resourceClaims") or ()}
    errors: Errors = []
    seen: set[str] = set()
    for at, entry in enumerate(entries):
        path, name = f"status.resourceClaimStatuses[{at}].name", entry.get("name") or ""
        if name not in known:
            says = "must match the name of an entry in `spec.resourceClaims`"
            errors += invalid(path, name, says)
        if name in seen:
            errors += duplicate(path, name)
        seen.add(name)
        if (claim := entry.get("resourceClaimName")) is not None:
            here = f"status.resourceClaimStatuses[{at}].resourceClaimName"
            errors += each(here, claim, names.dns1123_subdomain(claim))
    return errors


def _addresses(path: str, entries: list[Json], before: list[Json]) -> Errors:
    if not entries or entries == before:
        return []
    known = {entry.get("ip") or "" for entry in before}
    ips = [entry.get("ip") or "" for entry in entries]
    errors: Errors = []
    for at, ip in enumerate(ips):
        errors += addresses.ip(f"{path}[{at}]", ip, known)
    if len(ips) == 1:
        return errors
    if len(ips) > 2 or len({addresses.is_ipv6(ip) for ip in ips}) < 2:
        errors += invalid(path, entries, "may specify no more than one IP for each IP family")
    for at, ip in enumerate(ips):
        if ip in ips[:at]:
            errors += duplicate(f"{path}[{at}]", {"IP": ip})
    return errors


def _host_addresses(status: Json, before: Json) -> Errors:
    entries = status.get("hostIPs") or []
    if not entries:
        return []
    errors: Errors = []
    first = entries[0].get("ip") or ""
    if first != (status.get("hostIP") or ""):
        errors += invalid("status.hostIPs[0].ip", first, "must be equal to `hostIP`")
    return errors + _addresses("status.hostIPs", entries, before.get("hostIPs") or [])


def _users(path: str, entries: Sequence[Json], *, windows: bool) -> Errors:
    errors: Errors = []
    for at, entry in enumerate(entries):
        user = (entry.get("user") or {}).get("linux")
        if user is None:
            continue
        here = f"{path}[{at}].user.linux"
        if windows:
            errors += forbidden(here, "cannot be set for a windows pod")
            continue
        groups = user.get("supplementalGroups") or ()
        fields = [(field, user.get(field) or 0) for field in ("uid", "gid")]
        fields += [(f"supplementalGroups[{i}]", group) for i, group in enumerate(groups)]
        for field, value in fields:
            errors += each(f"{here}.{field}", value, names.in_range(value, 0, MAX_ID))
    return errors


def _devices(path: str, entries: Sequence[Json], containers: Sequence[Json]) -> Errors:
    errors: Errors = []
    for at, entry in enumerate(entries):
        here = f"{path}[{at}].allocatedResourcesStatus"
        held = entry.get("allocatedResourcesStatus") or ()
        if held and path.endswith("ephemeralContainerStatuses"):
            errors += forbidden(here, "must not be specified in container status")
            continue
        container = next((c for c in containers if c.get("name") == entry.get("name")), None)
        for index, device in enumerate(held):
            errors += _device(f"{here}[{index}]", device, container)
    return errors


def _device(path: str, device: Json, container: Json | None) -> Errors:
    errors: Errors = []
    name = device.get("name") or ""
    if container is not None:
        needs = container.get("resources") or {}
        if name.startswith("claim:"):
            says = (
                "must match one of the container's resource claims in a format "
                "'claim:<claimName>/<request>' or 'claim:<claimName>' if request is empty"
            )
            known = {
                "claim:" + "/".join(filter(None, (claim.get("name"), claim.get("request"))))
                for claim in needs.get("claims") or ()
            }
        else:
            says = "must match one of the container's resource requests"
            known = set(needs.get("requests") or ())
        if name not in known:
            errors += invalid(f"{path}.name", name, says)
    seen: set[str] = set()
    for at, part in enumerate(device.get("resources") or ()):
        health, uid = part.get("health"), part.get("resourceID") or ""
        if health not in HEALTH:
            errors += not_supported(f"{path}.resources[{at}].health", health, HEALTH)
        if uid in seen:
            errors += duplicate(f"{path}.resources[{at}].resourceID", uid)
        seen.add(uid)
    return errors
