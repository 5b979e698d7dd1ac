"""Topology mode Auto: endpoints are promised to zones in proportion to the zones' processors, so
that traffic stays in its zone without overloading anyone. Pure.

Where that is not possible (too few endpoints, a node or endpoint without zone) nobody gets a hint:
proxies obey hints only if every endpoint has one.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from sampan.api.meta import Json
from sampan.api.quantity import parse_json
from sampan.controllers.endpoint_pods import ZONE_LABEL
from sampan.controllers.pods import is_ready as has_ready_condition

ANNOTATIONS = ("service.kubernetes.io/topology-aware-hints", "service.kubernetes.io/topology-mode")
"""The older one goes first where both are there."""
OVERLOAD = 0.2
"""By this share a zone may get more than its part."""
CONTROL_PLANE = ("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master")

Ratios = Mapping[str, float]


def is_auto(service: Json) -> bool:
    """Whether the Service asks for it; then `trafficDistribution` has no say."""
    notes = service["metadata"].get("annotations") or {}
    value = next((notes[name] for name in ANNOTATIONS if name in notes), "")
    return value in ("Auto", "auto")


def ratios(nodes: Iterable[Json]) -> Ratios | None:
    """Each zone's part of all processors; None where some node does not tell."""
    nanos: Counter[str] = Counter()
    for node in nodes:
        labels = node["metadata"].get("labels") or {}
        if any(name in labels for name in CONTROL_PLANE) or not has_ready_condition(node):
            continue
        zone = labels.get(ZONE_LABEL)
        cpu = parse_json(((node.get("status") or {}).get("allocatable") or {}).get("cpu", "0"))
        if not zone or not cpu:
            return None
        nanos[zone] += cpu.nanos
    total = sum(nanos.values())
    return {zone: part / total for zone, part in nanos.items()} if total else None


def assign(endpoints: Sequence[Json], parts: Ratios | None) -> tuple[list[str], str]:
    """A zone for each ready endpoint, or none and why not."""
    count = len(endpoints)
    if parts is None or len(parts) < 2:
        return [], (
            "Insufficient Node information: allocatable CPU or zone not specified on one or more "
            "nodes"
        )
    sizes = f"({count} endpoints, {len(parts)} zones)"
    if len(parts) > count:
        return [], f"Insufficient number of endpoints {sizes}"
    least = {zone: math.ceil(part * count / (1 + OVERLOAD)) for zone, part in parts.items()}
    if sum(least.values()) > count:
        return [], (
            "Unable to allocate minimum required endpoints to each zone without exceeding "
            f"overload threshold {sizes}"
        )
    zones = [str(endpoint.get("zone") or "") for endpoint in endpoints]
    if not all(zones):
        return [], "One or more endpoints do not have a zone specified"
    return _shared(zones, {zone: max(parts[zone] * count, least[zone]) for zone in parts}), ""


def _shared(zones: Sequence[str], fair: Mapping[str, float]) -> list[str]:
    """Own zones first; then those with too many give to those with too few, one by one."""
    held = Counter(zones)
    surplus = {zone: held[zone] - part for zone, part in fair.items() if held[zone] > part}
    want = {zone: part - held[zone] for zone, part in fair.items() if held[zone] < part}
    giving, taking = _gifts(surplus, want)
    given = list(zones)
    for place, zone in enumerate(zones):
        if giving[zone] > 0 and taking:
            giving[zone] -= 1
            given[place] = taking.pop(0)
    return given


def _gifts(surplus: dict[str, float], want: dict[str, float]) -> tuple[Counter[str], list[str]]:
    """How many each zone gives, and who takes, in turn. It ends where either side is less than
    half an endpoint off, or both less than a whole one.
    """
    giving: Counter[str] = Counter()
    taking: list[str] = []
    while surplus and want:
        giver = max(sorted(surplus), key=surplus.__getitem__)
        taker = max(sorted(want), key=want.__getitem__)
        most, lack = surplus[giver], want[taker]
        if most < 0.5 or lack < 0.5 or (most < 1 and lack < 1):
            break
        giving[giver] += 1
        taking.append(taker)
        surplus[giver] -= 1
        want[taker] -= 1
    return giving, taking
