"""Which endpoints may answer for one port of a Service, seen from one node.

Two lists come out: `cluster` obeys hints and falls back to terminating endpoints that still
serve; `local` holds only this node's. Which one a packet meets is the traffic policy's matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sampan.services.service import Service
from sampan.services.slices import Endpoint, Slice


class Place(NamedTuple):
    """Where somebody stands: a node and its zone; both may be unknown."""

    node: str = ""
    zone: str = ""


class Target(NamedTuple):
    """An endpoint of one port: where the traffic goes."""

    ip: str
    port: int
    local: bool


class Answer(NamedTuple):
    """`any` tells a Service that is dead everywhere from one that is only dead here."""

    cluster: tuple[Target, ...]
    local: tuple[Target, ...]
    any: bool


class Candidate(NamedTuple):
    """An endpoint with the number that a port's name has in its slice."""

    endpoint: Endpoint
    port: int


def candidates(
    slices: Iterable[Slice], family: str, name: str, protocol: str
) -> tuple[Candidate, ...]:
    """All endpoints of a port, each address and port once, in the order of their text.

    An address that several slices hold counts as they say together: ready if any says so
    (a pod may be in two slices for a moment while the controller moves it).
    """
    found: dict[tuple[str, int], Candidate] = {}
    for view in slices:
        if view.family != family:
            continue
        for port in view.ports:
            if port.name != name or port.protocol != protocol or not port.number:
                continue
            for endpoint in view.endpoints:
                where = (endpoint.address, port.number)
                known = found.get(where)
                if known is None or _better(endpoint, known.endpoint):
                    found[where] = Candidate(endpoint, port.number)
    if len(found) < 2:
        return tuple(found.values())
    return tuple(found[where] for where in sorted(found, key=_text))


def _better(new: Endpoint, old: Endpoint) -> bool:
    return (new.ready, new.serving, not new.terminating) > (
        old.ready,
        old.serving,
        not old.terminating,
    )


def _text(where: tuple[str, int]) -> str:
    ip, port = where
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"


def answer(service: Service, found: Sequence[Candidate], place: Place, *, external: bool) -> Answer:
    """Who answers at `place` for the candidates of one port; `external` says whether this port has
    an address for traffic from outside, in the family that is asked for.
    """
    if not found:
        return Answer((), (), False)
    cluster: tuple[Target, ...] = ()
    if not service.internal_local or external:
        cluster = _targets(_cluster(found, place), place)
    if not (service.internal_local or (service.external_local and external)):
        return Answer(cluster, (), bool(cluster))
    here = [one for one in found if place.node and one.endpoint.node == place.node]
    local = [one for one in here if one.endpoint.ready] or _draining(here)
    reachable = any(one.endpoint.ready or _drains(one.endpoint) for one in found)
    return Answer(cluster, _targets(local, place), reachable)


def _cluster(found: Sequence[Candidate], place: Place) -> Sequence[Candidate]:
    ready = [one for one in found if one.endpoint.ready]
    return near(ready, place) or _draining(found)


def near(ready: Sequence[Candidate], place: Place) -> Sequence[Candidate]:
    """Obey hints if all ready endpoints have them and one is for us; a node's beat a zone's."""
    if not ready or not (ready[0].endpoint.for_nodes or ready[0].endpoint.for_zones):
        return ready
    if all(one.endpoint.for_nodes for one in ready):
        mine = [one for one in ready if place.node in one.endpoint.for_nodes]
        if mine:
            return mine
    if place.zone and all(one.endpoint.for_zones for one in ready):
        return [one for one in ready if place.zone in one.endpoint.for_zones] or ready
    return ready


def _drains(endpoint: Endpoint) -> bool:
    return endpoint.serving and endpoint.terminating


def _draining(found: Sequence[Candidate]) -> list[Candidate]:
    return [one for one in found if _drains(one.endpoint)]


def _targets(found: Sequence[Candidate], place: Place) -> tuple[Target, ...]:
    node = place.node
    return tuple(
        Target(one.endpoint.address, one.port, bool(node) and one.endpoint.node == node)
        for one in found
    )


def serving(found: Iterable[Candidate]) -> frozenset[tuple[str, int]]:
    """Where an established flow may stay: ready endpoints and those that drain."""
    return frozenset(
        (one.endpoint.address, one.port)
        for one in found
        if one.endpoint.ready or one.endpoint.serving
    )


def ready_local_addresses(slices: Iterable[Slice], family: str, node: str) -> frozenset[str]:
    """What a health check node port counts: ready addresses here, once over all ports."""
    return frozenset(
        endpoint.address
        for view in slices
        if view.family == family
        for endpoint in view.endpoints
        if endpoint.ready and endpoint.node == node
    )
