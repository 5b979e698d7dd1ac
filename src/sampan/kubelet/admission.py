"""Whether a pod may run on this node after all: the last look, pure, with the pods that are here.

The scheduler has decided before; a pod that comes by hand (`spec.nodeName`), from a file, or at the
same moment as another must still fit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sampan.api import quantity
from sampan.api.meta import Json
from sampan.kubelet import pods
from sampan.resources.core.pod.levels import container_requests

COUNTED = ("cpu", "memory", "ephemeral-storage")


def refusal(
    pod: Json, others: Iterable[Json], node: Json, allocatable: Mapping[str, str]
) -> tuple[str, str] | None:
    """Reason and message, or None when it may run."""
    here = [other for other in others if not pods.is_finished(other)]
    wanted_os = (pod["spec"].get("os") or {}).get("name") or "linux"
    if wanted_os != "linux":
        text = "Failed to admit pod as the OS field doesn't match node OS"
        return "PodOSNotSupported", text
    selector = pod["spec"].get("nodeSelector") or {}
    labels = (node.get("metadata") or {}).get("labels") or {}
    if node and any(labels.get(name) != value for name, value in selector.items()):
        return "NodeAffinity", _rejected(
            "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"
        )
    taken = {port for other in here for port in host_ports(other)}
    if any(_clash(port, other) for port in host_ports(pod) for other in taken):
        text = (
            "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports"
        )
        return "NodePorts", _rejected(text)
    return _resources(pod, here, allocatable)


def _resources(
    pod: Json, here: list[Json], allocatable: Mapping[str, str]
) -> tuple[str, str] | None:
    limit = int(allocatable.get("pods", "110"))
    if len(here) + 1 > limit:
        return "OutOfpods", _short("pods", 1, len(here), limit)
    wanted = container_requests(pod["spec"])
    sums = [container_requests(other["spec"]) for other in here]
    for name in COUNTED:
        asked = wanted.get(name)
        if not asked or name not in allocatable:
            continue
        used = sum(amounts[name].milli for amounts in sums if name in amounts)
        have = quantity.parse(allocatable[name]).milli
        if asked.milli + used > have:
            unit = 1 if name == "cpu" else 1000
            numbers = (asked.milli // unit, used // unit, have // unit)
            return f"OutOf{name}", _short(name, *numbers)
    return None


def host_ports(pod: Json) -> list[tuple[str, str, int]]:
    """(host IP, protocol, port) of every port of the node that the pod takes."""
    return [
        (port.get("hostIP") or "0.0.0.0", port.get("protocol") or "TCP", int(port["hostPort"]))
        for role, container in pods.containers(pod)
        if role in (pods.Role.APP, pods.Role.SIDECAR)
        for port in container.get("ports") or ()
        if port.get("hostPort")
    ]


def _clash(one: tuple[str, str, int], other: tuple[str, str, int]) -> bool:
    anywhere = "0.0.0.0" in (one[0], other[0])
    return one[1:] == other[1:] and (anywhere or one[0] == other[0])


def _short(name: str, asked: int, used: int, have: int) -> str:
    text = f"Node didn't have enough resource: {name}, requested: {asked}, used: {used}, "
    return _rejected(f"{text}capacity: {have}")


def _rejected(why: str) -> str:
    return f"Pod was rejected: {why}"
