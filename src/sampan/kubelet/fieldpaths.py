"""The downward API: what a pod may be told about itself, as text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from sampan.api import quantity
from sampan.api.meta import Json
from sampan.kubelet.pods import container_named


class UnknownField(Exception):
    """There is no such field to tell."""


@dataclass(frozen=True, slots=True)
class PodFacts:
    """What the kubelet knows of a pod and its object does not say yet."""

    node_name: str = ""
    host_ips: tuple[str, ...] = ()
    pod_ips: tuple[str, ...] = ()
    allocatable: Mapping[str, str] = field(default_factory=dict)
    """Of the node: the limit of containers that have none."""


def field_value(pod: Json, path: str, facts: PodFacts) -> str:
    """`metadata.name`, `metadata.labels['app']`, `status.podIP` ... Raises UnknownField."""
    meta, spec = pod["metadata"], pod["spec"]
    simple = {
        "metadata.name": meta["name"],
        "metadata.namespace": meta["namespace"],
        "metadata.uid": meta["uid"],
        "spec.nodeName": facts.node_name,
        "spec.serviceAccountName": spec.get("serviceAccountName") or "",
        "status.hostIP": facts.host_ips[0] if facts.host_ips else "",
        "status.hostIPs": ",".join(facts.host_ips),
        "status.podIP": facts.pod_ips[0] if facts.pod_ips else "",
        "status.podIPs": ",".join(facts.pod_ips),
    }
    if path in simple:
        return str(simple[path])
    for name in ("labels", "annotations"):
        if path == f"metadata.{name}":
            return _table(meta.get(name) or {})
        if path.startswith(f"metadata.{name}['") and path.endswith("']"):
            key = path[len(f"metadata.{name}['") : -2]
            return str((meta.get(name) or {}).get(key, ""))
    raise UnknownField(f"unsupported fieldPath: {path}")


def _table(values: Mapping[str, str]) -> str:
    """`key="value"` lines, sorted: how labels look in a file."""
    rows = (f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in values.items())
    return "\n".join(sorted(rows))


def resource_value(
    pod: Json, reference: Json, facts: PodFacts, *, default: Json | None = None
) -> str:
    """`limits.cpu` and the like, in units of the divisor, rounded up. Raises UnknownField."""
    container = default
    if reference.get("containerName"):
        found = container_named(pod, reference["containerName"])
        container = found[1] if found else None
    if container is None:
        raise UnknownField(f"container {reference.get('containerName', '')} not found")
    kind, _, resource = reference["resource"].partition(".")
    resources = container.get("resources") or {}
    text = (resources.get(kind) or {}).get(resource)
    if text is None and kind == "limits":
        text = facts.allocatable.get(resource)
    amount = quantity.parse_json(text if text is not None else "0")
    divisor = quantity.parse_json(reference.get("divisor") or "1")
    unit = divisor.nanos or quantity.parse("1").nanos
    return str(-(-amount.nanos // unit))
