"""Planning without an API server: a file of objects becomes the model of one node."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sampan.api.meta import Json, Key
from sampan.proxy.config import settings
from sampan.proxy.model import Rules
from sampan.proxy.settings import Settings
from sampan.proxy.tracker import Tracker
from sampan.services.answer import Place

LOOPBACKS = ("127.0.0.1", "::1")
ZONE = "topology.kubernetes.io/zone"


@dataclass(frozen=True, slots=True)
class Planned:
    """What a node's proxy would program."""

    model: dict[Key, Rules]
    settings: Settings
    scheduler: str = "rr"
    """Of IPVS mode."""


def planned(objects: Iterable[Json], config: Json, node_name: str = "") -> Planned:
    """The model that follows from Nodes, Services, EndpointSlices and ServiceCIDRs, in any order.
    Without a name the first Node is meant.
    """
    kinds: dict[str, list[Json]] = {}
    for obj in _items(objects):
        obj.setdefault("metadata", {}).setdefault("namespace", "default")
        kinds.setdefault(obj.get("kind", ""), []).append(obj)
    nodes = {obj["metadata"]["name"]: obj for obj in kinds.get("Node", ())}
    name = node_name or config["hostnameOverride"] or next(iter(nodes), "")
    node = nodes.get(name)
    labels = ((node or {}).get("metadata") or {}).get("labels") or {}
    tracker = Tracker(Place(name, labels.get(ZONE, "")))
    for obj in kinds.get("Service", ()):
        tracker.service(None, obj)
    for obj in kinds.get("EndpointSlice", ()):
        tracker.slice(None, obj)
    tracker.take()
    cidrs = [c for obj in kinds.get("ServiceCIDR", ()) for c in obj["spec"].get("cidrs", ())]
    return Planned(
        tracker.model,
        settings(
            config,
            node_name=name,
            node=node,
            service_cidrs=cidrs,
            local_ips=_single(config["nodePortAddresses"] or ()),
        ),
        config["ipvs"]["scheduler"] or "rr",
    )


def _items(objects: Iterable[Json]) -> Iterable[Json]:
    for obj in objects:
        if obj and obj.get("kind", "").endswith("List") and "items" in obj:
            yield from obj["items"]
        elif obj:
            yield obj


def _single(ranges: Sequence[str]) -> list[str]:
    """Without a machine to ask, the node is taken to have its loopback addresses and those that
    stand alone as a range.
    """
    return [
        *LOOPBACKS,
        *(
            text.partition("/")[0]
            for text in ranges
            if text.endswith(("/32", "/128")) or ("/" not in text and text[:1].isdigit())
        ),
    ]
