"""The Node: a machine that pods run on."""

from __future__ import annotations

from collections.abc import Sequence

from sampan.api import kinds, names
from sampan.api.errors import FieldError
from sampan.api.meta import Json
from sampan.api.resource import Resource, Subresource
from sampan.resources import addresses, cells, resource_names
from sampan.resources.core.pod.scheduling import taint_effect
from sampan.resources.options import NODE_PROXY_OPTIONS, PROXY_VERBS
from sampan.resources.rules import METADATA, Errors, duplicate, each, forbidden, invalid, required

ROLE = "node-role.kubernetes.io/"
OLD_ROLE = "kubernetes.io/role"
CIDRS = "spec.podCIDRs"
ONCE = 'node updates may not change {} except from "" to valid'


def defaults(node: Json) -> None:
    """podCIDR is the old name of podCIDRs[0], and what it says counts; all of the capacity can be
    given to pods.
    """
    spec, status = node.setdefault("spec", {}), node.setdefault("status", {})
    status.pop("config", None)
    one, many = spec.get("podCIDR"), spec.get("podCIDRs")
    if one and (not many or many[0] != one):
        spec["podCIDRs"] = [one]
    elif many:
        spec["podCIDR"] = many[0]
    if status.get("capacity") and not status.get("allocatable"):
        status["allocatable"] = dict(status["capacity"])


def prepare(new: Json, old: Json | None, subresource: str) -> None:
    """Where a kubelet's configuration lay is no longer kept; who may say it is still judged."""
    new["spec"].pop("configSource", None)


def validate(new: Json, old: Json | None, subresource: str) -> Errors:
    spec, status = new["spec"], new.get("status") or {}
    taints = _taints("metadata.taints", spec.get("taints") or ())
    amounts = _amounts(status)
    if old is None:
        return taints + amounts + _pod_cidrs(spec.get("podCIDRs") or [])
    changes = amounts + _addresses(status) + _fixed(spec, old["spec"]) + taints + _id(spec, old)
    if subresource == "status":
        return changes
    return [*taints, *amounts, *_pod_cidrs(spec.get("podCIDRs") or []), METADATA, *changes]


def _amounts(status: Json) -> Errors:
    errors: Errors = []
    for field in ("capacity", "allocatable"):
        for name, text in (status.get(field) or {}).items():
            errors += resource_names.amount(f"status.{field}.{name}", name, text)
    return errors


def _addresses(status: Json) -> Errors:
    errors: Errors = []
    seen: set[tuple[str, str]] = set()
    for at, address in enumerate(status.get("addresses") or ()):
        key = address.get("type") or "", address.get("address") or ""
        if key in seen:
            errors += duplicate(f"status.addresses[{at}]", {"Type": key[0], "Address": key[1]})
        seen.add(key)
    return errors


def _pod_cidrs(cidrs: list[str]) -> Errors:
    errors: Errors = []
    for at, cidr in enumerate(cidrs):
        errors += addresses.cidr(f"{CIDRS}[{at}]", cidr)
    if len(cidrs) < 2 or errors:
        return errors
    if len(cidrs) > 2 or len({addresses.is_ipv6(cidr) for cidr in cidrs}) < 2:
        errors += invalid(CIDRS, cidrs, "may specify no more than one CIDR for each IP family")
    return errors


def _fixed(new: Json, old: Json) -> Errors:
    """What the controllers assign once."""
    now, was = new.get("podCIDRs") or [], old.get("podCIDRs") or []
    errors: Errors = []
    if was and len(now) != len(was):
        errors += forbidden(CIDRS, ONCE.format("podCIDR"))
    elif was:
        changed = sum(a != b for a, b in zip(now, was, strict=True))
        errors += forbidden(CIDRS, ONCE.format("podCIDR")) * changed
    provider = old.get("providerID")
    if provider and provider != new.get("providerID"):
        errors += forbidden("spec.providerID", ONCE.format("providerID"))
    return errors


def _id(spec: Json, old: Json) -> Errors:
    same = (spec.get("externalID") or "") == (old["spec"].get("externalID") or "")
    return [] if same else forbidden("spec.externalID", "may not be updated")


def warnings(new: Json, old: Json | None) -> list[str]:
    if not new["spec"].get("externalID"):
        return []
    return ["spec.externalID: this field is deprecated, and is unused by Kubernetes"]


def _taints(path: str, taints: Sequence[Json]) -> Errors:
    errors: Errors = []
    seen: set[tuple[str, str]] = set()
    for at, taint in enumerate(taints):
        here, key, value = f"{path}[{at}]", taint.get("key") or "", taint.get("value") or ""
        effect = taint.get("effect") or ""
        errors += each(f"{here}.key", key, names.qualified_name(key))
        if complaints := names.label_value(value):
            errors += invalid(f"{here}.value", value, ";".join(complaints))
        where = f"{here}.effect"
        errors += taint_effect(where, effect) if effect else required(where)
        if (key, effect) in seen:
            shown = {
                "Key": key, "Value": value, "Effect": effect, "TimeAdded": taint.get("timeAdded"),
            }  # fmt: skip
            says = "taints must be unique by key and effect pair"
            errors.append(FieldError("Duplicate", here, shown, says))
        seen.add((key, effect))
    return errors


def status_text(node: Json) -> str:
    """`Ready`, `NotReady` or `Unknown`, and whether it takes pods."""
    ready = next(
        (c for c in (node.get("status") or {}).get("conditions") or () if c["type"] == "Ready"),
        None,
    )
    text = "Unknown" if ready is None else "Ready" if ready["status"] == "True" else "NotReady"
    return f"{text},SchedulingDisabled" if node["spec"].get("unschedulable") else text


def roles(node: Json) -> str:
    found = {
        label.removeprefix(ROLE) if label.startswith(ROLE) else value
        for label, value in (node["metadata"].get("labels") or {}).items()
        if label.startswith(ROLE) or label == OLD_ROLE
    }
    return ",".join(sorted(found - {""})) or cells.NONE


def address_of(node: Json, kind: str) -> str:
    for address in (node.get("status") or {}).get("addresses") or ():
        if address.get("type") == kind:
            return str(address.get("address") or "")
    return cells.NONE


def _info(node: Json, field: str) -> str:
    info = (node.get("status") or {}).get("nodeInfo") or {}
    return str(info.get(field) or "")


def _unschedulable(node: Json) -> str:
    return "true" if node["spec"].get("unschedulable") else "false"


def _kernel(node: Json) -> str:
    """`6.1.0 (amd64)`."""
    version, machine = _info(node, "kernelVersion"), _info(node, "architecture")
    return f"{version or cells.UNKNOWN} ({machine})" if machine else version or cells.UNKNOWN


NODE = Resource(
    id=kinds.NODES,
    schema="io.k8s.api.core.v1.Node",
    singular="node",
    metadata_checks="reversed",
    short=("no",),
    defaults=defaults,
    prepare=prepare,
    validate=validate,
    warnings=warnings,
    columns=(
        cells.NAME,
        cells.column("Status", status_text),
        cells.column("Roles", roles),
        cells.AGE,
        cells.column("Version", lambda node: _info(node, "kubeletVersion")),
        cells.column("Internal-IP", lambda node: address_of(node, "InternalIP"), priority=1),
        cells.column("External-IP", lambda node: address_of(node, "ExternalIP"), priority=1),
        cells.column("OS-Image", lambda node: _info(node, "osImage") or cells.UNKNOWN, priority=1),
        cells.column(
            "Kernel-Version",
            _kernel,
            priority=1,
        ),
        cells.column(
            "Container-Runtime",
            lambda node: _info(node, "containerRuntimeVersion") or cells.UNKNOWN,
            priority=1,
        ),
    ),
    fields={"spec.unschedulable": _unschedulable},
    no_namespace_field=True,
    subresources=(
        Subresource("proxy", NODE_PROXY_OPTIONS, PROXY_VERBS),
        Subresource("status", kinds.NODES),
    ),
    generation=False,
    status_on_create=True,
)
