"""Portals: the ports at which the moving process takes the traffic of Services. Pure.

Every list of endpoints that a Service has needs one portal; the rules of another backend then send
packets to it as if it were the Service's only endpoint.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from sampan.proxy.model import Port, Rules, Target, label


class Portal(NamedTuple):
    """What the moving process must know; `name` is unique in a node."""

    name: str
    protocol: str
    family: int
    targets: tuple[tuple[str, int], ...]
    affinity: str
    """Portals with the same word share the clients that stay; empty without affinity."""
    affinity_s: int
    serving: tuple[tuple[str, int], ...] = ()
    """Of UDP: where a flow may stay, though no new one is sent there."""

    def as_json(self) -> dict[str, Any]:
        targets, serving = ([list(one) for one in some] for some in (self.targets, self.serving))
        return {**self._asdict(), "targets": targets, "serving": serving}


def portals(rules: Rules | None) -> dict[str, Portal]:
    """The portals of a Service by name."""
    found: dict[str, Portal] = {}
    for port in rules.ports if rules else ():
        for kind, targets in (("cluster", port.cluster), ("local", port.local)):
            if targets and port.protocol in ("tcp", "udp"):
                name = portal_name(rules, port, kind)
                shared = portal_name(rules, port, "") if port.affinity_s else ""
                ends = tuple((target.ip, target.port) for target in targets)
                serving = tuple(sorted(port.serving))
                found[name] = Portal(
                    name, port.protocol, port.family, ends, shared, port.affinity_s, serving
                )
    return found


def portal_name(rules: Rules | None, port: Port, kind: str) -> str:
    text = label(rules.key, port) if rules else ""
    return f"{text}/{port.protocol}/{port.family}/{kind}"


def through(
    rules: Rules | None, numbers: Mapping[str, int], node_ips: Mapping[int, str]
) -> Rules | None:
    """The rules with every list of endpoints replaced by its portal."""
    if rules is None:
        return None
    return rules._replace(
        ports=tuple(_through(rules, port, numbers, node_ips) for port in rules.ports)
    )


def _through(
    rules: Rules, port: Port, numbers: Mapping[str, int], node_ips: Mapping[int, str]
) -> Port:
    if port.protocol == "sctp":
        # Nobody moves SCTP by hand: the kernel translates it, as in the other modes.
        return port

    def at(kind: str, ends: tuple[Target, ...]) -> tuple[Target, ...]:
        # A portal may be open a moment longer than there are endpoints.
        number = numbers.get(portal_name(rules, port, kind)) if ends else None
        ip = node_ips.get(port.family)
        return (Target(ip, number, False),) if number and ip else ()

    cluster, local = at("cluster", port.cluster), at("local", port.local)
    return port._replace(
        cluster=cluster,
        local=local,
        affinity_s=0,
        serving=frozenset((one.ip, one.port) for one in (*cluster, *local)),
    )
