"""The rules of a pod's spec as a whole, part after part in upstream's order."""

from __future__ import annotations

from sampan.api import names
from sampan.api.meta import Json
from sampan.resources.core.pod import containers, env, network, requirements, scheduling, security
from sampan.resources.core.pod.context import Context
from sampan.resources.core.pod.volumes import validate_volumes
from sampan.resources.core.pod.windows import validate_host_process, validate_os
from sampan.resources.rules import (
    Errors,
    duplicate,
    each,
    invalid,
    labels,
    not_supported,
    one_of,
    required,
)

RESTART_POLICIES = ("Always", "OnFailure", "Never")
MAX_INT32 = 2**31 - 1


def validate_spec(path: str, spec: Json, *, pod_name: str = "", is_pod: bool = False) -> Errors:
    """`pod_name` is known only for pods; claims of ephemeral volumes are named after it."""
    errors: Errors = []
    if spec.get("terminationGracePeriodSeconds") is None:
        errors += required(f"{path}.terminationGracePeriodSeconds")
    volumes, found = validate_volumes(f"{path}.volumes", spec.get("volumes") or (), pod_name)
    errors += found
    claims = spec.get("resourceClaims") or ()
    if claims:
        errors += _resource_claims(f"{path}.resourceClaims", claims)
    context = Context(
        volumes=volumes,
        claims=frozenset(claim.get("name") or "" for claim in claims) - {""},
        grace_s=spec.get("terminationGracePeriodSeconds"),
        restart_policy=spec.get("restartPolicy") or "",
        host_users=spec.get("hostUsers") is not False,
        os=(spec.get("os") or {}).get("name") or "",
        is_pod=is_pod,
    )
    errors += _containers(path, spec, context)
    errors += _policies(path, spec, is_pod=is_pod)
    errors += _placement(path, spec)
    return errors + _names(path, spec)


def _containers(path: str, spec: Json, context: Context) -> Errors:
    regular = spec.get("containers") or ()
    errors = containers.validate_containers(f"{path}.containers", regular, context)
    if initial := spec.get("initContainers"):
        here = f"{path}.initContainers"
        errors += containers.validate_init_containers(here, initial, regular, context)
    if spec.get("ephemeralContainers"):
        here = f"{path}.ephemeralContainers"
        errors += containers.validate_ephemeral_containers(here, spec, context)
    if spec.get("resources") is not None:
        errors += requirements.validate_pod_level(f"{path}.resources", spec, context.claims)
    return errors


def _policies(path: str, spec: Json, *, is_pod: bool) -> Errors:
    errors: Errors = []
    if spec.get("hostNetwork"):
        errors += network.validate_host_network_ports(path, spec, is_pod=is_pod)
    restart = spec.get("restartPolicy") or ""
    if not restart:
        errors += required(f"{path}.restartPolicy")
    elif restart not in RESTART_POLICIES:
        errors += not_supported(f"{path}.restartPolicy", restart, RESTART_POLICIES)
    errors += network.validate_dns_policy(f"{path}.dnsPolicy", spec.get("dnsPolicy") or "")
    if selector := spec.get("nodeSelector"):
        errors += labels(f"{path}.nodeSelector", selector)
    rights = spec.get("securityContext")
    if rights or spec.get("shareProcessNamespace"):
        errors += security.validate_pod(f"{path}.securityContext", rights or {}, spec)
    return errors


def _placement(path: str, spec: Json) -> Errors:
    errors = scheduling.validate_affinity(f"{path}.affinity", spec.get("affinity"))
    policy = spec.get("dnsPolicy") or ""
    errors += network.validate_dns_config(f"{path}.dnsConfig", spec.get("dnsConfig"), policy)
    if gates := spec.get("readinessGates"):
        errors += scheduling.validate_readiness_gates(f"{path}.readinessGates", gates)
    if gates := spec.get("schedulingGates"):
        errors += scheduling.validate_scheduling_gates(f"{path}.schedulingGates", gates)
    if constraints := spec.get("topologySpreadConstraints"):
        here = f"{path}.topologySpreadConstraints"
        errors += scheduling.validate_spread(here, constraints)
    errors += validate_host_process(path, spec)
    errors += security.validate_host_users(path, spec)
    return errors + network.validate_hostname_override(path, spec)


def _names(path: str, spec: Json) -> Errors:
    errors: Errors = []
    for field in ("serviceAccountName", "nodeName"):
        if name := spec.get(field):
            errors += each(f"{path}.{field}", name, names.dns1123_subdomain(name))
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline <= MAX_INT32:
        complaints = names.in_range(deadline, 1, MAX_INT32)
        errors += each(f"{path}.activeDeadlineSeconds", deadline, complaints)
    errors += network.validate_names(path, spec)
    if tolerations := spec.get("tolerations"):
        errors += scheduling.validate_tolerations(f"{path}.tolerations", tolerations)
    if spec.get("hostAliases"):
        errors += network.validate_host_aliases(f"{path}.hostAliases", spec)
    if name := spec.get("priorityClassName"):
        errors += each(f"{path}.priorityClassName", name, names.dns1123_subdomain(name))
    if (name := spec.get("runtimeClassName")) is not None:
        errors += each(f"{path}.runtimeClassName", name, names.dns1123_subdomain(name))
    preemption = spec.get("preemptionPolicy")
    if preemption is not None and preemption not in ("PreemptLowerPriority", "Never"):
        allowed = ("PreemptLowerPriority", "Never")
        errors += one_of(f"{path}.preemptionPolicy", preemption, allowed)
    if overhead := spec.get("overhead"):
        needs, none = {"limits": overhead}, frozenset[str]()
        errors += requirements.validate_requirements(f"{path}.overhead", needs, none)
    errors += validate_os(path, spec)
    return errors + env.validate_files(path, spec)


def _resource_claims(path: str, claims: list[Json]) -> Errors:
    errors: Errors = []
    seen: set[str] = set()
    for at, claim in enumerate(claims):
        here, name = f"{path}[{at}]", claim.get("name") or ""
        if not name:
            errors += required(f"{here}.name")
        elif name in seen:
            errors += duplicate(f"{here}.name", name)
        else:
            errors += each(f"{here}.name", name, names.dns1123_label(name))
            seen.add(name)
        errors += _claim_source(here, claim)
    return errors


def _claim_source(path: str, claim: Json) -> Errors:
    fields = ("resourceClaimName", "resourceClaimTemplateName")
    given = [field for field in fields if claim.get(field) is not None]
    errors: Errors = []
    if len(given) > 1:
        says = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"
        errors += invalid(path, claim, says)
    if not given:
        says = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"
        errors += invalid(path, claim, says)
    for field in given:
        errors += each(f"{path}.{field}", claim[field], names.dns1123_subdomain(claim[field]))
    return errors
