"""What the slices of a Service should say: endpoints, labels, hints. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from sampan.api import kinds
from sampan.api.meta import Json, Key
from sampan.controllers import endpoint_pods as facts
from sampan.controllers import port_order, topology_hints
from sampan.controllers.owners import controller_reference
from sampan.controllers.pods import is_ready, is_terminating
from sampan.controllers.slice_layout import Layout, Wish, identity, ports_key
from sampan.controllers.stamps import stamp

SERVICE_LABEL = "kubernetes.io/service-name"
MANAGED_LABEL = "endpointslice.kubernetes.io/managed-by"
MANAGER = "endpointslice-controller.k8s.io"


def wishes(
    service: Json, pods: Sequence[Json], family: str, node_of: Callable[[Key], Json | None]
) -> dict[str, Wish]:
    """The endpoints of one family, grouped by the ports they serve."""
    groups: dict[str, tuple[tuple[Json, ...], dict[tuple[object, ...], Json]]] = {}
    publish = bool(service["spec"].get("publishNotReadyAddresses"))
    for pod in sorted(pods, key=lambda pod: str(pod["metadata"]["name"])):
        ip = facts.address_of(pod, family)
        if ip is None or not facts.has_place(pod, terminating=True):
            continue
        name = pod["spec"].get("nodeName") or ""
        node = node_of(Key("", name)) if name else None
        if node is None and not publish:
            continue  # its node is gone, or not known yet: the node's arrival wakes us
        ports = port_order.of_slice(facts.ports(service, pod))
        endpoint = endpoint_for(service, pod, ip, node)
        _, members = groups.setdefault(ports_key(ports), (tuple(ports), {}))
        members[identity(endpoint)] = endpoint
    return {key: Wish(ports, members) for key, (ports, members) in groups.items()}


def homeless(
    service: Json, pods: Sequence[Json], node_of: Callable[[Key], Json | None]
) -> list[str]:
    """What is to be told of pods that are left out since nobody knows their node."""
    if service["spec"].get("publishNotReadyAddresses"):
        return []
    meta, told = service["metadata"], []
    for pod in pods:
        node = pod["spec"].get("nodeName") or ""
        if facts.has_place(pod, terminating=True) and (not node or node_of(Key("", node)) is None):
            about = f"Service {meta['namespace']}/{meta['name']}"
            told.append(
                f"skipping Pod {pod['metadata']['name']} for {about}: Node {node} Not Found"
            )
    return told


def endpoint_for(service: Json, pod: Json, ip: str, node: Json | None) -> Json:
    """One entry of a slice."""
    serving, terminating = is_ready(pod), is_terminating(pod)
    publish = bool(service["spec"].get("publishNotReadyAddresses"))
    endpoint: Json = {
        "addresses": [ip],
        "conditions": {
            "ready": publish or (serving and not terminating),
            "serving": serving,
            "terminating": terminating,
        },
        "targetRef": facts.target_reference(pod),
    }
    if pod["spec"].get("nodeName"):
        endpoint["nodeName"] = pod["spec"]["nodeName"]
    zone = zone_of(node)
    if zone:
        endpoint["zone"] = zone
    host = facts.hostname(service, pod)
    if host:
        endpoint["hostname"] = host
    asked = None if topology_hints.is_auto(service) else service["spec"].get("trafficDistribution")
    hints = _hints(asked, endpoint)
    if hints:
        endpoint["hints"] = hints
    return endpoint


def _hints(distribution: str | None, endpoint: Json) -> Json:
    hints: Json = {}
    if not endpoint["conditions"]["ready"]:
        return hints
    if distribution in ("PreferClose", "PreferSameZone", "PreferSameNode") and "zone" in endpoint:
        hints["forZones"] = [{"name": endpoint["zone"]}]
    if distribution == "PreferSameNode" and "nodeName" in endpoint:
        hints["forNodes"] = [{"name": endpoint["nodeName"]}]
    return hints


def labels_for(service: Json) -> dict[str, str]:
    """The Service's labels and our own."""
    reserved = (SERVICE_LABEL, MANAGED_LABEL, facts.HEADLESS_LABEL)
    own = service["metadata"].get("labels") or {}
    labels = {name: value for name, value in own.items() if name not in reserved}
    if facts.is_headless(service):
        labels[facts.HEADLESS_LABEL] = ""
    labels[SERVICE_LABEL] = service["metadata"]["name"]
    labels[MANAGED_LABEL] = MANAGER
    return labels


def new_slice(service: Json, family: str, ports: Sequence[Json], endpoints: list[Json]) -> Json:
    meta = service["metadata"]
    return {
        "metadata": {
            "generateName": f"{meta['name']}-",
            "namespace": meta["namespace"],
            "ownerReferences": [controller_reference(kinds.SERVICES, service)],
        },
        "addressType": family,
        "endpoints": endpoints,
        "ports": list(ports),
    }


def stamped(item: Json, labels: Mapping[str, str], since: float | None) -> Json:
    """With our labels, and the time of the change that is shown (none for a pod that went)."""
    meta = dict(item["metadata"])
    notes = {k: v for k, v in (meta.get("annotations") or {}).items() if k != facts.TRIGGER_TIME}
    if since is not None:
        notes[facts.TRIGGER_TIME] = stamp(since)
    return {**item, "metadata": {**meta, "labels": dict(labels), "annotations": notes}}


def keep_one_empty(plan: Layout) -> None:
    """Nothing at all would be left: one slice stays, without endpoints and ports."""
    empty = next(
        (one for one in plan.delete if not one.get("endpoints") and not one.get("ports")), None
    )
    if empty is None:
        plan.create.append(((), []))
    else:
        plan.delete.remove(empty)
        plan.keep.append(empty)


def zone_of(node: Json | None) -> str:
    labels = (node["metadata"].get("labels") or {}) if node else {}
    found: str = labels.get(facts.ZONE_LABEL, "")
    return found
