"""Which UDP flows must be cut off when a Service changes: exactly those that lead nowhere.

A flow may stay as long as its endpoint is ready or drains. It is cut off when the endpoint went
away, when the Service lost its frontend, and when it began before there was an endpoint at all
(it then leads to the Service's address itself). Established TCP is never touched.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from sampan.linux.base.conntrack import Conntrack, Flow
from sampan.proxy.model import Frontend, Port, Rules

Serving = frozenset[tuple[str, int]]
WALK = 1000
"""The kernel walks its whole table for every question, which costs as much as reading so many
flows: of few flows all are read at once.
"""


class Stale(NamedTuple):
    """A frontend whose flows must be looked at, and the endpoints at which they may stay."""

    frontend: Frontend
    serving: Serving


def stale(old: Rules | None, new: Rules | None) -> list[Stale]:
    """The frontends of a changed Service that may have flows to cut off."""
    before, after = _frontends(old), _frontends(new)
    found = []
    for frontend, had in before.items():
        have = after.get(frontend)
        if have is None:
            found.append(Stale(frontend, frozenset()))
        elif had - have or (have and not had):
            found.append(Stale(frontend, have))
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
    asked = {one.frontend: one.serving for one in wanted}
    if not asked:
        return 0
    doomed = [
        flow for flow in _candidates(conntrack, asked) if _leads_nowhere(flow, asked, node_ips)
    ]
    return conntrack.delete(doomed)


def _candidates(conntrack: Conntrack, asked: Mapping[Frontend, Serving]) -> Iterable[Flow]:
    if conntrack.count() < WALK * (len(asked) - 1):
        for family in {frontend.family for frontend in asked}:
            yield from conntrack.flows(family)
        return
    for frontend in asked:
        yield from conntrack.flows(frontend.family, destination=frontend.ip, port=frontend.port)


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
