"""Which UDP flows must be cut off when a Service changes: exactly those that lead nowhere.

A flow may stay as long as its endpoint is ready or drains. It is cut off when the endpoint went
away, when the Service lost its frontend, and when it began before there was an endpoint at all
(it then leads to the Service's address itself). Established TCP is never touched.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from sampan.linux.base.conntrack import Conntrack, Flow, Leading, Place
from sampan.proxy.model import Frontend, Port, Rules

Serving = frozenset[tuple[str, int]]
WALK = 4000
"""The kernel walks its whole table for every look, which costs as much as reading so many flows,
"""
SHARE = 6
"""and passes over this many for each that it tells: so there are never more looks than these."""


FEW = 4
"""So many kinds of flows are forgotten unseen before the look, at a third of its cost each."""


class Stale(NamedTuple):
    """A frontend whose flows must be looked at, and the endpoints at which they may stay; at those
    that are `gone` they may be, but must not.
    """

    frontend: Frontend
    serving: Serving
    gone: Serving = frozenset()


def stale(old: Rules | None, new: Rules | None) -> list[Stale]:
    """The frontends of a changed Service that may have flows to cut off."""
    before, after = _frontends(old), _frontends(new)
    found = []
    for frontend, had in before.items():
        have = after.get(frontend)
        if have is None:
            found.append(Stale(frontend, frozenset(), had))
        elif had - have or (have and not had):
            found.append(Stale(frontend, have, had - have))
    # A client may have sent to a Service before it was there.
    found += [Stale(where, have) for where, have in after.items() if where not in before]
    return found


def everything(model: Iterable[Rules]) -> list[Stale]:
    """All UDP frontends: for the first look after a start."""
    return [
        Stale(frontend, serving)
        for rules in model
        for frontend, serving in _frontends(rules).items()
    ]


def _frontends(rules: Rules | None) -> dict[Frontend, Serving]:
    found: dict[Frontend, Serving] = {}
    for port in rules.ports if rules else ():
        if port.protocol == "udp":
            found.update(dict.fromkeys(_of(port), port.serving))
    return found


def _of(port: Port) -> Iterable[Frontend]:
    for ip in (port.cluster_ip, *port.external_ips, *port.load_balancer_ips):
        yield Frontend(port.family, ip, port.protocol, port.port)
    if port.node_port:
        yield Frontend(port.family, "", port.protocol, port.node_port)


def cut(conntrack: Conntrack, wanted: Iterable[Stale], node_ips: frozenset[str]) -> int:
    """Cut the flows off; returns how many there were."""
    wanted = list(wanted)
    asked = {one.frontend: one.serving for one in wanted}
    if not asked:
        return 0
    before = conntrack.count()
    if not all(conntrack.forget(one) for one in urgent(wanted)):
        before = 0
    # Where nothing else begins or ends in these milliseconds that is exact.
    forgotten = max(0, before - conntrack.count())
    doomed = [
        flow for flow in _candidates(conntrack, asked) if _leads_nowhere(flow, asked, node_ips)
    ]
    return forgotten + conntrack.delete(doomed)


def urgent(wanted: Iterable[Stale]) -> list[Leading]:
    """The flows of clients that talk to an endpoint which is gone, if those are told in few words:
    they wait for no look at the whole table.
    """
    found: list[Leading] = []
    for one in wanted:
        where = (one.frontend.family, one.frontend.ip, one.frontend.port)
        if one.gone and one.frontend.ip and not one.serving:
            found.append(Leading(*where))
        else:
            found += [Leading(*where, *endpoint) for endpoint in sorted(one.gone)]
        if len(found) > FEW:
            return []
    return found


def _candidates(conntrack: Conntrack, asked: Iterable[Frontend]) -> Iterable[Flow]:
    """The flows to all of these, in as few looks as it is worth: for one address or one port at a
    time, or one for all.
    """
    count = conntrack.count()
    families: dict[int, list[Frontend]] = {}
    for frontend in asked:
        families.setdefault(frontend.family, []).append(frontend)
    for family, some in families.items():
        among = frozenset((one.ip, one.port) for one in some)
        looks = _looks(some)
        if count < (len(looks) - 1) * (WALK + count / SHARE):
            looks = [("", 0)]
        for ip, port in looks:
            yield from conntrack.flows(family, destination=ip, port=port, among=among)


def _looks(frontends: Iterable[Frontend]) -> list[Place]:
    """Addresses, ports or both, one look each: as few as hold all of these."""
    ports: dict[int, set[str]] = {}
    addresses: dict[str, set[int]] = {}
    for one in frontends:
        ports.setdefault(one.port, set()).add(one.ip)
        addresses.setdefault(one.ip, set()).add(one.port)
    anywhere = addresses.pop("", set())
    if len(ports) <= len(addresses) + len(anywhere):
        return [(next(iter(ips)) if len(ips) == 1 else "", port) for port, ips in ports.items()]
    there = [(ip, next(iter(own)) if len(own) == 1 else 0) for ip, own in addresses.items()]
    return [*there, *(("", port) for port in anywhere)]


def _leads_nowhere(flow: Flow, asked: Mapping[Frontend, Serving], node_ips: frozenset[str]) -> bool:
    where = Frontend(flow.family, flow.destination, "udp", flow.destination_port)
    serving = asked.get(where)
    if serving is None:
        # At a node port only what was translated, or came to the node itself, is the Service's.
        translated = flow.answering != flow.destination
        if not (translated or flow.destination in node_ips):
            return False
        serving = asked.get(where._replace(ip=""))
    return serving is not None and (flow.answering, flow.answering_port) not in serving
