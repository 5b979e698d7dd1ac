"""The rules of one Service, in the words, names and order of upstream's iptables mode. Pure."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from sampan.proxy.model import Port, Rules, Target, label
from sampan.proxy.settings import FamilySettings, contains

Hub = tuple[str, str]
"""A table and one of its chains through which all Services go."""
SERVICES: Hub = ("nat", "KUBE-SERVICES")
NODEPORTS: Hub = ("nat", "KUBE-NODEPORTS")
DEAD: Hub = ("filter", "KUBE-SERVICES")
DEAD_EXTERNAL: Hub = ("filter", "KUBE-EXTERNAL-SERVICES")
HEALTH: Hub = ("filter", "KUBE-NODEPORTS")
FIREWALL: Hub = ("filter", "KUBE-PROXY-FIREWALL")
HUBS = (SERVICES, NODEPORTS, DEAD, DEAD_EXTERNAL, HEALTH, FIREWALL)


class Entry(NamedTuple):
    """A rule of a hub; `where` is its address or port, by which large hubs are divided."""

    where: str
    rule: str


@dataclass(slots=True)
class Pieces:
    """What one Service has in one family: chains of its own (table nat), and entries in hubs."""

    chains: dict[str, tuple[str, ...]] = field(default_factory=dict)
    hubs: dict[Hub, tuple[Entry, ...]] = field(default_factory=dict)


def pieces(rules: Rules, settings: FamilySettings, *, terse: bool = False) -> Pieces:
    """The pieces of a Service; `terse` leaves out comments on what each endpoint has, as upstream
    does where there are many.
    """
    made = _Maker(settings, terse=terse)
    for port in rules.ports:
        if port.family == settings.family:
            made.port(rules, port)
    return Pieces(
        {name: tuple(lines) for name, lines in made.chains.items()},
        {hub: tuple(entries) for hub, entries in made.hubs.items()},
    )


def hashed(text: str) -> str:
    """Upstream's short form: the first 16 characters of the base32 of SHA-256."""
    # Ten bytes make sixteen characters: the rest need not be written.
    return base64.b32encode(hashlib.sha256(text.encode()).digest()[:10]).decode()


def endpoints(rules: Rules, family: int) -> int:
    """How many endpoints a Service's ports have in a family."""
    return sum(
        len(port.cluster) if not port.local else len({*port.cluster, *port.local})
        for port in rules.ports
        if port.family == family
    )


def endpoint_text(target: Target) -> str:
    return f"[{target.ip}]:{target.port}" if ":" in target.ip else f"{target.ip}:{target.port}"


def probability(count: int) -> str:
    """1/count as iptables-save prints it: the kernel holds it in 31 bits."""
    return f"{round(0x80000000 / count) / 0x80000000:.11f}"


class _Maker:
    """Collects the rules port by port."""

    def __init__(self, settings: FamilySettings, *, terse: bool) -> None:
        self.settings = settings
        self._terse = terse
        self.chains: dict[str, list[str]] = {}
        self.hubs: dict[Hub, list[Entry]] = {}
        self._mask = 128 if settings.family == 6 else 32
        self._reject = "icmp6-port-unreachable" if settings.family == 6 else "icmp-port-unreachable"

    def port(self, rules: Rules, port: Port) -> None:
        names = _Names(label(rules.key, port), port.protocol)
        if port.cluster and (not port.internal_local or port.externally_reachable):
            self._choice(names, port, names.svc, port.cluster)
        if port.local:
            self._choice(names, port, names.svl, port.local)
        for target in dict.fromkeys((*port.cluster, *port.local)):
            self._endpoint(names, port, target)
        self._cluster_ip(names, port)
        if port.externally_reachable:
            self._externals(names, port)
        if rules.health and port.external_local:
            self._hub(
                HEALTH,
                "",
                f'-p tcp -m comment --comment "{names.text} health check node port" '
                f"-m tcp --dport {rules.health.port} -j ACCEPT",
            )

    def _hub(self, hub: Hub, where: str, rule: str) -> None:
        self.hubs.setdefault(hub, []).append(Entry(where, f"-A {hub[1]} {rule}"))

    def _chain(self, name: str, *rules: str) -> None:
        self.chains.setdefault(name, []).extend(f"-A {name} {rule}" for rule in rules)

    def _to(self, port: Port, ip: str, comment: str, number: int = 0) -> str:
        """The match of a destination address and port."""
        return (
            f'-d {ip}/{self._mask} -p {port.protocol} -m comment --comment "{comment}" '
            f"-m {port.protocol} --dport {number or port.port}"
        )

    def _dead(self, port: Port) -> tuple[str, str]:
        """Comment and target for frontends that nobody answers."""
        if port.any:
            return "has no local endpoints", "DROP"
        return "has no endpoints", f"REJECT --reject-with {self._reject}"

    # The cluster IP.

    def _cluster_ip(self, names: _Names, port: Port) -> None:
        if not port.internal:
            why, target = self._dead(port)
            match = self._to(port, port.cluster_ip, f"{names.text} {why}")
            self._hub(DEAD, port.cluster_ip, f"{match} -j {target}")
            return
        chain = names.svl if port.internal_local else names.svc
        match = self._to(port, port.cluster_ip, f"{names.text} cluster IP")
        self._hub(SERVICES, port.cluster_ip, f"{match} -j {chain}")
        lines = [f"{masq} -j KUBE-MARK-MASQ" for masq in self._off_cluster(match)]
        if lines:
            head = [f"-A {chain} {line}" for line in lines]
            self.chains[chain] = [*head, *self.chains[chain]]

    def _off_cluster(self, match: str) -> Iterator[str]:
        """The cluster IP's match, bound to those who must be masqueraded."""
        detector = self.settings.detector
        if self.settings.masquerade_all:
            yield match
        elif detector.interface:
            destination, _, rest = match.partition(" -p ")
            yield f"{destination} ! -i {_interface(detector.interface)} -p {rest}"
        elif detector.cidrs:
            yield f"! -s {detector.cidrs[0]} {match}"

    # Endpoints.

    def _choice(self, names: _Names, port: Port, chain: str, targets: Sequence[Target]) -> None:
        """Where a client was before, then chance: 1/n, 1/(n-1), ... 1."""
        if port.affinity_s:
            for target in targets:
                end = names.sep(target)
                self._chain(
                    chain,
                    f"{self._said(f'{names.text} -> {endpoint_text(target)}')}"
                    f"-m recent --rcheck --seconds {port.affinity_s} --reap --name {end} "
                    f"--mask {self._ones()} --rsource -j {end}",
                )
        for index, target in enumerate(targets):
            left = len(targets) - index
            chance = (
                f"-m statistic --mode random --probability {probability(left)} " if left > 1 else ""
            )
            said = self._said(f"{names.text} -> {endpoint_text(target)}")
            self._chain(chain, f"{said}{chance}-j {names.sep(target)}")

    def _said(self, text: str) -> str:
        return "" if self._terse else f'-m comment --comment "{text}" '

    def _endpoint(self, names: _Names, port: Port, target: Target) -> None:
        end = names.sep(target)
        remember = (
            f"-m recent --set --name {end} --mask {self._ones()} --rsource "
            if port.affinity_s
            else ""
        )
        said = self._said(names.text)
        self._chain(
            end,
            f"-s {target.ip}/{self._mask} {said}-j KUBE-MARK-MASQ",
            f"-p {port.protocol} {said}{remember}"
            f"-m {port.protocol} -j DNAT --to-destination {endpoint_text(target)}",
        )

    def _ones(self) -> str:
        if self.settings.family == 6:
            return ":".join(["ffff"] * 8)
        return "255.255.255.255"

    # External addresses and node ports.

    def _externals(self, names: _Names, port: Port) -> None:
        if port.any:
            self._external_chain(names, port)
        for ip in port.external_ips:
            self._external_ip(names, port, ip, "external IP", names.ext)
        entry = names.ext
        if port.any and port.load_balancer_ips and port.source_ranges:
            entry = names.fw
            self._firewall(names, port)
        for ip in port.load_balancer_ips:
            self._external_ip(names, port, ip, "loadbalancer IP", entry)
        if port.node_port:
            self._node_port(names, port)

    def _external_ip(self, names: _Names, port: Port, ip: str, what: str, chain: str) -> None:
        if port.any:
            match = self._to(port, ip, f"{names.text} {what}")
            self._hub(SERVICES, ip, f"{match} -j {chain}")
        if not port.external:
            why, target = self._dead(port)
            match = self._to(port, ip, f"{names.text} {why}")
            self._hub(DEAD_EXTERNAL, ip, f"{match} -j {target}")

    def _node_port(self, names: _Names, port: Port) -> None:
        number = port.node_port
        proto = port.protocol
        match = f'-p {proto} -m comment --comment "{names.text}" -m {proto} --dport {number}'
        if port.any:
            if self.settings.localhost_node_ports:
                self._hub(NODEPORTS, str(number), f"-d 127.0.0.0/8 {match} -j {names.ext}")
            self._hub(NODEPORTS, str(number), f"{match} -j {names.ext}")
        if not port.external:
            why, target = self._dead(port)
            self._hub(
                DEAD_EXTERNAL,
                str(number),
                f'-p {proto} -m comment --comment "{names.text} {why}" '
                f"-m addrtype --dst-type LOCAL -m {proto} --dport {number} -j {target}",
            )

    def _external_chain(self, names: _Names, port: Port) -> None:
        def said(what: str) -> str:
            return f'-m comment --comment "{what} for {names.text} external destinations"'

        if not port.external_local:
            self._chain(names.ext, f"{said('masquerade traffic')} -j KUBE-MARK-MASQ")
            self._chain(names.ext, f"-j {names.svc}")
            return
        for match in self._from_pods():
            self._chain(names.ext, f"{match} {said('pod traffic')} -j {names.svc}")
        local = "-m addrtype --src-type LOCAL"
        self._chain(
            names.ext,
            f"{said('masquerade LOCAL traffic')} {local} -j KUBE-MARK-MASQ",
            f"{said('route LOCAL traffic')} {local} -j {names.svc}",
        )
        if port.local:
            self._chain(names.ext, f"-j {names.svl}")

    def _from_pods(self) -> Iterator[str]:
        detector = self.settings.detector
        if detector.interface:
            yield f"-i {_interface(detector.interface)}"
        else:
            yield from (f"-s {cidr}" for cidr in detector.cidrs)

    def _firewall(self, names: _Names, port: Port) -> None:
        """Allowed ranges go on; what falls through is dropped by KUBE-PROXY-FIREWALL."""
        comment = f'-m comment --comment "{names.text} loadbalancer IP"'
        for one in port.source_ranges:
            cidr = one if "/" in one else f"{one}/{self._mask}"
            self._chain(names.fw, f"-s {cidr} {comment} -j {names.ext}")
        if any(contains(one, ip) for one in port.source_ranges for ip in self.settings.node_ips):
            # A balancer's address may also be an address of this node: then it is the source.
            for ip in port.load_balancer_ips:
                self._chain(names.fw, f"-s {ip}/{self._mask} {comment} -j {names.ext}")
        self._chain(
            names.fw,
            f'-m comment --comment "other traffic to {names.text} will be dropped by '
            'KUBE-PROXY-FIREWALL"',
        )
        for ip in port.load_balancer_ips:
            match = self._to(port, ip, f"{names.text} traffic not accepted by {names.fw}")
            self._hub(FIREWALL, ip, f"{match} -j DROP")


class _Names:
    """The chains of one service port."""

    def __init__(self, text: str, protocol: str) -> None:
        self.text = text
        self._protocol = protocol
        suffix = hashed(text + protocol)
        self.svc = f"KUBE-SVC-{suffix}"
        self.svl = f"KUBE-SVL-{suffix}"
        self.ext = f"KUBE-EXT-{suffix}"
        self.fw = f"KUBE-FW-{suffix}"
        self._ends: dict[Target, str] = {}

    def sep(self, target: Target) -> str:
        found = self._ends.get(target)
        if found is None:
            text = self.text + self._protocol + endpoint_text(target)
            found = self._ends[target] = f"KUBE-SEP-{hashed(text)}"
        return found


def _interface(name: str) -> str:
    """iptables writes a prefix with a plus."""
    return f"{name[:-1]}+" if name.endswith("*") else name
