"""What a pod's containers ask for in sum; the defaults and the QoS class that follow from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sampan.api import quantity
from sampan.api.meta import Json
from sampan.api.quantity import Quantity
from sampan.resources import resource_names

QOS_RESOURCES = ("cpu", "memory")
CONTAINERS = ("containers", "initContainers")
Amounts = dict[str, Quantity]


def is_supported(name: str) -> bool:
    """Whether a pod as a whole may ask for it."""
    return name in QOS_RESOURCES or resource_names.is_huge_pages(name)


def is_sidecar(container: Json) -> bool:
    """An init container that keeps running."""
    return container.get("restartPolicy") == "Always"


def container_requests(spec: Json) -> Amounts:
    """What must be there for all containers to run: init containers run one by one beside the
    sidecars that were started before them.
    """
    return _aggregate(spec, "requests")


def container_limits(spec: Json) -> Amounts:
    return _aggregate(spec, "limits")


def default_requests(spec: Json) -> None:
    """Limits without requests become requests: in containers, then for the pod as a whole."""
    for field in CONTAINERS:
        for container in spec.get(field) or ():
            needs = container.get("resources") or {}
            if limits := needs.get("limits"):
                requests = needs.get("requests") or {}
                needs["requests"] = {**limits, **requests}
    needs = spec.get("resources")
    if not needs:
        return
    if any(resource_names.is_huge_pages(name) for name in _asked(spec)):
        _default_huge_page_limits(spec, needs)
    if needs.get("limits"):
        _default_pod_requests(spec, needs)
    elif needs.get("requests"):
        _default_pod_limits(spec, needs)


def qos_class(spec: Json) -> str:
    """Guaranteed, Burstable or BestEffort."""
    needs = spec.get("resources") or {}
    if needs.get("requests") or needs.get("limits"):
        containers: list[Json] = [{"resources": needs}]
    else:
        containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    guaranteed, requests, limits = True, Amounts(), Amounts()
    for container in containers:
        held = container.get("resources") or {}
        found = _nonzero(held.get("limits") or {})
        _add(requests, _nonzero(held.get("requests") or {}))
        _add(limits, found)
        guaranteed = guaranteed and set(found) == set(QOS_RESOURCES)
    if not requests and not limits:
        return "BestEffort"
    if guaranteed and all(limits.get(name) == amount for name, amount in requests.items()):
        return "Guaranteed" if len(requests) == len(limits) else "Burstable"
    return "Burstable"


def _nonzero(amounts: Mapping[str, str]) -> Amounts:
    found = {name: quantity.parse(amounts[name]) for name in QOS_RESOURCES if name in amounts}
    return {name: amount for name, amount in found.items() if amount.nanos > 0}


def _default_huge_page_limits(spec: Json, needs: Json) -> None:
    if not needs.get("limits") and not needs.get("requests"):
        return
    limits = dict(needs.get("limits") or {})
    for name, amount in container_limits(spec).items():
        asked = name in limits or name in (needs.get("requests") or ())
        if resource_names.is_huge_pages(name) and not asked:
            limits[name] = str(amount)
    if limits:
        needs["limits"] = limits


def _default_pod_requests(spec: Json, needs: Json) -> None:
    requests = dict(needs.get("requests") or {})
    for name, amount in container_requests(spec).items():
        if name not in requests and name in QOS_RESOURCES:
            requests[name] = str(amount)
    for name, text in needs["limits"].items():
        if name not in requests and is_supported(name):
            requests[name] = text
    if requests:
        needs["requests"] = requests


def _default_pod_limits(spec: Json, needs: Json) -> None:
    """Where no container could take more, the pod cannot either."""
    containers = [c for field in CONTAINERS for c in spec.get(field) or ()]
    limits = {
        name: str(amount)
        for name, amount in container_limits(spec).items()
        if name in QOS_RESOURCES and all(name in _amounts(c, "limits") for c in containers)
    }
    if limits:
        needs["limits"] = limits


def _asked(spec: Json) -> Iterable[str]:
    for field in CONTAINERS:
        for container in spec.get(field) or ():
            yield from (container.get("resources") or {}).get("limits") or ()


def _aggregate(spec: Json, kind: str) -> Amounts:
    total = Amounts()
    for container in spec.get("containers") or ():
        _add(total, _amounts(container, kind))
    peak, sidecars = Amounts(), Amounts()
    for container in spec.get("initContainers") or ():
        amounts = _amounts(container, kind)
        if is_sidecar(container):
            _add(total, amounts)
            _add(sidecars, amounts)
            _raise(peak, sidecars)
        else:
            _add(amounts, sidecars)
            _raise(peak, amounts)
    _raise(total, peak)
    return total


def _amounts(container: Json, kind: str) -> Amounts:
    held = (container.get("resources") or {}).get(kind) or {}
    return {name: quantity.parse(text) for name, text in held.items()}


def _add(total: Amounts, more: Amounts) -> None:
    for name, amount in more.items():
        total[name] = total[name] + amount if name in total else amount


def _raise(total: Amounts, floor: Amounts) -> None:
    for name, amount in floor.items():
        if name not in total or total[name] < amount:
            total[name] = amount
