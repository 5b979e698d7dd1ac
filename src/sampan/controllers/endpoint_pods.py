"""What a Pod contributes to a Service: addresses, ports, conditions. Pure.

Both forms of endpoints, the slices and the old Endpoints, are made of these answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sampan.api.meta import Json
from sampan.controllers.pods import condition, is_ready, is_terminal, is_terminating
from sampan.controllers.stamps import seconds

ZONE_LABEL = "topology.kubernetes.io/zone"
HEADLESS_LABEL = "service.kubernetes.io/headless"
TRIGGER_TIME = "endpoints.kubernetes.io/last-change-trigger-time"


def is_headless(service: Json) -> bool:
    return bool((service.get("spec") or {}).get("clusterIP") == "None")


def has_place(pod: Json, *, terminating: bool) -> bool:
    """Whether a pod may be an endpoint at all."""
    if is_terminal(pod) or not addresses(pod):
        return False
    return terminating or not is_terminating(pod)


def addresses(pod: Json) -> list[str]:
    status = pod.get("status") or {}
    several = [item["ip"] for item in status.get("podIPs") or () if item.get("ip")]
    single = status.get("podIP")
    return several or ([single] if single else [])


def address_of(pod: Json, family: str) -> str | None:
    """The pod's address of a family, `IPv4` or `IPv6`."""
    return next((ip for ip in addresses(pod) if family_of(ip) == family), None)


def family_of(ip: str) -> str:
    return "IPv6" if ":" in ip else "IPv4"


def families(service: Json) -> tuple[str, ...]:
    """The families that a Service wants its endpoints in."""
    spec = service["spec"]
    listed = spec.get("ipFamilies")
    if listed:
        return tuple(listed)
    own = spec.get("clusterIP")
    return (family_of(own),) if own and own != "None" else ("IPv4",)


def ports(service: Json, pod: Json) -> list[Json]:
    """The Service's ports as this pod serves them; a name that it lacks is left out."""
    found = []
    for port in service["spec"].get("ports") or ():
        number = _target(pod, port)
        if number is not None:
            endpoint: Json = {
                "name": port.get("name") or "",
                "port": number,
                "protocol": port.get("protocol") or "TCP",
            }
            if port.get("appProtocol"):
                endpoint["appProtocol"] = port["appProtocol"]
            found.append(endpoint)
    return found


def _target(pod: Json, port: Json) -> int | None:
    target: Any = port.get("targetPort") or port["port"]
    if isinstance(target, int):
        return target
    spec = pod["spec"]
    sidecars = [c for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"]
    for container in (*(spec.get("containers") or ()), *sidecars):
        for offered in container.get("ports") or ():
            same = (offered.get("protocol") or "TCP") == (port.get("protocol") or "TCP")
            if offered.get("name") == target and same:
                return int(offered["containerPort"])
    return None


def hostname(service: Json, pod: Json) -> str:
    """The name under which a headless Service knows this pod."""
    spec = pod["spec"]
    if spec.get("subdomain") == service["metadata"]["name"]:
        found: str = spec.get("hostname") or ""
        return found
    return ""


def target_reference(pod: Json) -> Json:
    meta = pod["metadata"]
    return {
        "kind": "Pod",
        "namespace": meta["namespace"],
        "name": meta["name"],
        "uid": meta["uid"],
    }


def signature(pod: Json) -> tuple[Any, ...]:
    """Everything about a pod that may change its endpoints, but for its labels."""
    spec = pod["spec"]
    return (
        tuple(addresses(pod)),
        is_ready(pod),
        is_terminal(pod),
        is_terminating(pod),
        spec.get("nodeName"),
        spec.get("hostname"),
        spec.get("subdomain"),
    )


class TriggerTimes:
    """When the change happened that a Service's endpoints show next; measured by scalability
    tests as the time a change took to travel.
    """

    def __init__(self) -> None:
        self._pods: dict[str, float] = {}
        self._service: float | None = None

    def next(self, service: Json, pods: Mapping[str, Json]) -> float | None:
        """The earliest change since the last call; None where only a pod went."""
        own = seconds(service["metadata"].get("creationTimestamp"))
        times = {name: since for name, pod in pods.items() if (since := _ready_since(pod))}
        changed = [since for name, since in times.items() if since > self._pods.get(name, 0.0)]
        is_first, before = self._service is None, self._service or 0.0
        self._pods, self._service = times, own
        if is_first:
            return own
        if own > before:
            changed.append(own)
        return min(changed, default=None)


def _ready_since(pod: Json) -> float:
    ready = condition(pod, "Ready")
    return seconds(ready.get("lastTransitionTime")) if ready else 0.0
