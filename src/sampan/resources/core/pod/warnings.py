"""What the API remarks on a pod or template that it takes: old names, duplicates, oddities."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sampan.api import names, quantity
from sampan.api.errors import quoted
from sampan.api.meta import Json
from sampan.resources.address_warnings import ip_warnings
from sampan.resources.core.pod.annotations import (
    APP_ARMOR,
    SECCOMP_CONTAINER,
    SECCOMP_POD,
    profile_of,
)
from sampan.resources.core.pod.overlaps import overlaps
from sampan.resources.core.pod.windows import containers_with_paths

Warnings = Iterator[str]

OLD_LABELS = {
    "beta.kubernetes.io/arch": ("v1.14", "kubernetes.io/arch"),
    "beta.kubernetes.io/os": ("v1.14", "kubernetes.io/os"),
    "failure-domain.beta.kubernetes.io/region": ("v1.17", "topology.kubernetes.io/region"),
    "failure-domain.beta.kubernetes.io/zone": ("v1.17", "topology.kubernetes.io/zone"),
    "beta.kubernetes.io/instance-type": ("v1.17", "node.kubernetes.io/instance-type"),
}
OLD_ANNOTATIONS = {
    "scheduler.alpha.kubernetes.io/critical-pod": ("v1.16+", "priorityClassName"),
    "security.alpha.kubernetes.io/sysctls": ("v1.11+", "sysctls"),
    "security.alpha.kubernetes.io/unsafe-sysctls": ("v1.11+", "sysctls"),
}
OLD_VOLUMES = {
    "photonPersistentDisk": "deprecated in v1.11, non-functional in v1.16+",
    "gitRepo": "deprecated in v1.11, and disabled by default in v1.33+",
    "scaleIO": "deprecated in v1.16, non-functional in v1.22+",
    "flocker": "deprecated in v1.22, non-functional in v1.25+",
    "storageos": "deprecated in v1.22, non-functional in v1.25+",
    "quobyte": "deprecated in v1.22, non-functional in v1.25+",
    "glusterfs": "deprecated in v1.25, non-functional in v1.26+",
    "cephfs": "deprecated in v1.28, non-functional in v1.31+",
    "rbd": "deprecated in v1.28, non-functional in v1.31+",
}
BYTES = ("memory", "ephemeral-storage")


def pod_warnings(pod: Json, old: Json | None) -> list[str]:
    """Clients hardly change pods, but kubelets do all the time: only new addresses count then."""
    if old is not None:
        return _address_warnings(pod.get("status") or {}, old.get("status") or {})
    found: list[str] = []
    if complaints := names.dns1123_label(pod["metadata"].get("name") or ""):
        found.append(
            "metadata.name: this is used in the Pod's hostname, which can result in surprising "
            f"behavior; a DNS label is recommended: [{' '.join(complaints)}]"
        )
    return [*found, *_all("", pod)]


def _address_warnings(status: Json, before: Json) -> list[str]:
    return [
        text
        for field in ("podIPs", "hostIPs")
        if status.get(field) != before.get(field)
        for at, entry in enumerate(status.get(field) or ())
        for text in ip_warnings(f"status.{field}[{at}].ip", entry.get("ip") or "")
    ]


def template_warnings(template: Json, path: str, old: Json | None = None) -> list[str]:
    """`path` names the template, as in `validate_template`."""
    return list(_all(f"{path}.", template))


def fractional(path: str, amounts: Mapping[str, str] | None, fields: tuple[str, ...]) -> Warnings:
    """Bytes come whole."""
    for name in fields:
        text = (amounts or {}).get(name)
        if text is not None and quantity.parse(text).milli % 1000:
            shown = quoted(str(quantity.parse(text)))
            yield f"{path}[{name}]: fractional byte value {shown} is invalid, must be an integer"


def old_label(label: str) -> str:
    """What to use instead of a label that has a new name; empty if it has none."""
    since, instead = OLD_LABELS.get(label, ("", ""))
    return f'deprecated since {since}; use "{instead}" instead' if since else ""


def _all(prefix: str, holder: Json) -> Warnings:
    spec = holder.get("spec") or {}
    notes = (holder.get("metadata") or {}).get("annotations") or {}
    path = f"{prefix}spec"
    yield from _placement(path, spec)
    for key, (since, field) in OLD_ANNOTATIONS.items():
        if key in notes:
            where = f"{prefix}metadata.annotations[{key}]"
            yield f'{where}: non-functional in {since}; use the "{field}" field instead'
    yield from _volumes(path, spec)
    yield from _duplicates(path, spec)
    yield from fractional(f"{path}.overhead", spec.get("overhead"), BYTES)
    yield from _profiles(prefix, notes, spec)
    for here, container in containers_with_paths(path, spec):
        yield from _container(here, container)
    yield from _ports(path, spec)
    grace = spec.get("terminationGracePeriodSeconds")
    if grace is not None and grace < 0:
        where = f"{path}.terminationGracePeriodSeconds"
        yield f"{where}: must be >= 0; negative values are invalid and will be treated as 1"
    for field in ("podAffinity", "podAntiAffinity"):
        yield from _no_selector(f"{path}.affinity.{field}", (spec.get("affinity") or {}).get(field))


def _no_selector(path: str, affinity: Json | None) -> Warnings:
    says = "a null labelSelector results in matching no pod"
    for kind, inner in (("required", ""), ("preferred", "podAffinityTerm")):
        field = f"{kind}DuringSchedulingIgnoredDuringExecution"
        for at, term in enumerate((affinity or {}).get(field) or ()):
            held = (term.get(inner) or {}) if inner else term
            if held.get("labelSelector") is None:
                where = f"{path}.{field}[{at}]" + (f".{inner}" if inner else "")
                yield f"{where}.labelSelector: {says}"


def _placement(path: str, spec: Json) -> Warnings:
    for key in spec.get("nodeSelector") or ():
        if text := old_label(key):
            yield f"{path}.nodeSelector[{key}]: {text}"
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    here = f"{path}.affinity.nodeAffinity"
    needed = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    where = f"{here}.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms"
    for at, term in enumerate(needed.get("nodeSelectorTerms") or ()):
        yield from _term(f"{where}[{at}]", term)
    where = f"{here}.preferredDuringSchedulingIgnoredDuringExecution"
    for at, term in enumerate(
        affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
    ):
        yield from _term(f"{where}[{at}].preference", term.get("preference") or {})
    for at, constraint in enumerate(spec.get("topologySpreadConstraints") or ()):
        where = f"{path}.topologySpreadConstraints[{at}]"
        key = constraint.get("topologyKey") or ""
        if text := old_label(key):
            yield f"{where}.topologyKey: {key} is {text}"
        if constraint.get("labelSelector") is None:
            yield f"{where}.labelSelector: a null labelSelector results in matching no pod"


def _term(path: str, term: Json) -> Warnings:
    for at, expression in enumerate(term.get("matchExpressions") or ()):
        key = expression.get("key") or ""
        if text := old_label(key):
            yield f"{path}.matchExpressions[{at}].key: {key} is {text}"


def _volumes(path: str, spec: Json) -> Warnings:
    volumes = spec.get("volumes") or ()
    for at, volume in enumerate(volumes):
        here = f"{path}.volumes[{at}]"
        for kind, text in OLD_VOLUMES.items():
            if kind in volume:
                shown = "storageOS" if kind == "storageos" else kind
                yield f"{here}.{shown}: {text}"
        claim = (volume.get("ephemeral") or {}).get("volumeClaimTemplate") or {}
        needs = (claim.get("spec") or {}).get("resources") or {}
        where = f"{here}.ephemeral.volumeClaimTemplate.spec.resources"
        for field in ("requests", "limits"):
            yield from fractional(f"{where}.{field}", needs.get(field), ("storage",))
    yield from overlaps(volumes)


def _duplicates(path: str, spec: Json) -> Warnings:
    for field, key in (("hostAliases", "ip"), ("imagePullSecrets", "name")):
        seen: set[str] = set()
        for at, item in enumerate(spec.get(field) or ()):
            value = item.get(key) or ""
            if value in seen:
                yield f"{path}.{field}[{at}].{key}: duplicate {key} {quoted(value)}"
            seen.add(value)
    for at, item in enumerate(spec.get("imagePullSecrets") or ()):
        if not item.get("name"):
            yield f'{path}.imagePullSecrets[{at}].name: invalid empty name ""'


def _profiles(prefix: str, notes: Mapping[str, str], spec: Json) -> Warnings:
    if not notes:
        return
    says = 'non-functional in v1.27+; use the "seccompProfile" field instead'
    rights = spec.get("securityContext") or {}
    where = f"{prefix}metadata.annotations"
    if SECCOMP_POD in notes and not rights.get("seccompProfile"):
        yield f"{where}[{SECCOMP_POD}]: {says}"
    for _, container in containers_with_paths("", spec):
        own, name = container.get("securityContext") or {}, container.get("name") or ""
        if SECCOMP_CONTAINER + name in notes and not own.get("seccompProfile"):
            yield f"{where}[{SECCOMP_CONTAINER}{name}]: {says}"
        profile = own.get("appArmorProfile")
        if prefix:
            told = not profile and not rights.get("appArmorProfile")
        else:  # A pod's annotation has become the field by now.
            said = profile_of(notes.get(APP_ARMOR + name, ""))
            told = said is None or profile == said
        if APP_ARMOR + name in notes and told:
            text = 'deprecated since v1.30; use the "appArmorProfile" field instead'
            yield f"{where}[{APP_ARMOR}{name}]: {text}"


def _container(path: str, container: Json) -> Warnings:
    needs = container.get("resources")
    if needs:
        for name in BYTES:
            yield from fractional(f"{path}.resources.limits", needs.get("limits"), (name,))
            yield from fractional(f"{path}.resources.requests", needs.get("requests"), (name,))
    variables = container.get("env") or ()
    if len(variables) < 2:
        return
    seen: set[str] = set()
    for at, variable in enumerate(variables):
        name = variable.get("name") or ""
        if name in seen and _hides(name, variable):
            yield (
                f"{path}.env[{at}]: hides previous definition of {quoted(name)}, "
                "which may be dropped when using apply"
            )
        seen.add(name)


def _hides(name: str, variable: Json) -> bool:
    """Unless the new value is made from the old one."""
    reference, value = f"$({name})", variable.get("value") or ""
    return variable.get("valueFrom") is not None or value == reference or reference not in value


def _as_go_prints(port: Json) -> str:
    shown = [("Name", port.get("name", "")), ("HostPort", port.get("hostPort", 0))]
    shown += [("ContainerPort", port.get("containerPort", 0)), ("Protocol", port.get("protocol"))]
    shown += [("HostIP", port.get("hostIP", ""))]
    return "{" + " ".join(f"{name}:{value}" for name, value in shown) + "}"


def _ports(path: str, spec: Json) -> Warnings:
    numbers: dict[str, list[tuple[str, Json]]] = {}
    named: dict[str, str] = {}
    for here, container in containers_with_paths(path, spec):
        for at, port in enumerate(container.get("ports") or ()):
            where = f"{here}.ports[{at}]"
            if port.get("hostIP") and not port.get("hostPort"):
                yield f"{where}: hostIP set without hostPort: {_as_go_prints(port)}"
            key = f"{port.get('containerPort', 0)}/{port.get('protocol', '')}"
            for other, its in numbers.get(key, ()):
                yield from _port_twice(where, port, other, its)
            numbers.setdefault(key, []).append((where, port))
            name = port.get("name") or ""
            if name and name in named:
                yield (
                    f"{where}: duplicate port name {quoted(name)} with {named[name]}, services "
                    f"and probes that select ports by name will use {named[name]}"
                )
            named.setdefault(name, where)


def _port_twice(where: str, port: Json, other: str, its: Json) -> Warnings:
    mine, theirs = (p.get("hostPort") or 0 for p in (port, its))
    addresses = port.get("hostIP") or "", its.get("hostIP") or ""
    if mine == theirs and addresses[0] == addresses[1]:
        yield f"{where}: duplicate port definition with {other}"
    elif not mine or not theirs:
        yield f"{where}: overlapping port definition with {other}"
    elif mine == theirs and "" in addresses:
        yield f"{where}: dangerously ambiguous port definition with {other}"
