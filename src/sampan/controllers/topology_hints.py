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

ANNOTATIONS = ("service.kubernetes.io/topology-mode", "service.kubernetes.io/topology-aware-hints")
OVERLOAD = 0.2
"""By this share a zone may get more than its part."""
CONTROL_PLANE = ("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master")

Ratios = Mapping[str, float]


def is_auto(service: Json) -> bool:
    """Whether the Service asks for it; `trafficDistribution` goes first."""
    if service["spec"].get("trafficDistribution"):
        return False
    notes = service["metadata"].get("annotations") or {}
    return any(notes.get(name) in ("Auto", "auto") for name in ANNOTATIONS)


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
    if parts is None:
        return [], "Insufficient Node information: allocatable CPU or zone not specified"
    if len(parts) < 2 or len(parts) > count:
        return [], (
            f"Insufficient number of endpoints ({count}), "
            "impossible to safely allocate proportionally"
        )
    zones = [str(endpoint.get("zone") or "") for endpoint in endpoints]
    if not all(zones):
        return [], "One or more endpoints do not have a zone specified"
    least = {zone: math.ceil(part * count / (1 + OVERLOAD)) for zone, part in parts.items()}
    if sum(least.values()) > count:
        return [], (
            "Unable to allocate minimum required endpoints to each zone without exceeding "
            f"overload threshold ({count} endpoints, {len(parts)} zones)"
        )
    return _shared(zones, parts, least), ""


def _shared(zones: Sequence[str], parts: Ratios, least: Mapping[str, int]) -> list[str]:
    """Own zones first; then those with too many give to those with too few, one by one.

    It ends: no zone gives below its least, so what is missing to the leasts only sinks; and a gift
    between zones that are both more than half an endpoint off brings both closer.
    """
    given = list(zones)
    fair = {zone: max(part * len(given), least[zone]) for zone, part in parts.items()}
    while True:
        held = Counter(given)
        rich = [zone for zone in sorted(held) if held[zone] > least.get(zone, 0)]
        giver = max(rich, key=lambda zone: held[zone] - fair.get(zone, -1.0), default="")
        taker = max(
            sorted(fair), key=lambda zone: (held[zone] < least[zone], fair[zone] - held[zone])
        )
        surplus = held[giver] - fair.get(giver, -1.0)
        must = held[taker] < least[taker] or giver not in parts
        if giver in ("", taker):
            return given
        if not must and not (surplus > 0.5 and fair[taker] - held[taker] > 0.5):
            return given
        given[_last(given, zones, giver)] = taker


def _last(given: Sequence[str], zones: Sequence[str], zone: str) -> int:
    """The one to give away: a guest from elsewhere before an own one."""
    places = [place for place, name in enumerate(given) if name == zone]
    return max(places, key=lambda place: (zones[place] != zone, place))
