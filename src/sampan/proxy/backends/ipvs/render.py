"""What one Service is in IPVS mode: virtual servers, addresses, entries of sets. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sampan.linux.base.ipvs import Destination, Serving, VirtualServer
from sampan.proxy.backends.ipvs.layout import set_name
from sampan.proxy.model import Port, Rules, Target
from sampan.proxy.settings import FamilySettings, Settings

SCHEDULERS = ("rr", "wrr", "lc", "wlc", "lblc", "lblcr", "sh", "dh", "sed", "nq", "mh")


@dataclass(slots=True)
class State:
    """All of one Service. Node ports have addresses of the machine, which are not held."""

    servers: dict[VirtualServer, Serving] = field(default_factory=dict)
    addresses: set[str] = field(default_factory=set)
    entries: set[tuple[str, str]] = field(default_factory=set)
    """A set's name, and an entry."""
    staying: dict[VirtualServer, frozenset[tuple[str, int]]] = field(default_factory=dict)
    """Of UDP servers: where flows may stay, among them at endpoints that drain."""


def state(rules: Rules | None, settings: Settings, scheduler: str) -> State:
    """The state of a Service."""
    made = State()
    for port in rules.ports if rules else ():
        family = settings.family(port.family)
        if family is not None:
            _port(made, port, family, scheduler)
            if rules and rules.health and port.external_local:
                name = set_name("KUBE-HEALTH-CHECK-NODE-PORT", port.family)
                made.entries.add((name, str(rules.health.port)))
    return made


def _port(made: State, port: Port, settings: FamilySettings, scheduler: str) -> None:
    one = _Port(made, port, settings, scheduler)
    one.serve(port.cluster_ip, port.port, port.internal)
    one.hold("KUBE-CLUSTER-IP", port.cluster_ip)
    local = "-LOCAL" if port.external_local else ""
    for ip in port.external_ips:
        one.serve(ip, port.port, port.external)
        one.hold(f"KUBE-EXTERNAL-IP{local}", ip)
    for ip in port.load_balancer_ips:
        one.serve(ip, port.port, port.external)
        one.hold("KUBE-LOAD-BALANCER", ip)
        one.guard(ip)
    if port.node_port:
        one.node_port()
    for target in dict.fromkeys((*port.cluster, *port.local)):
        if target.local:
            one.enter("KUBE-LOOP-BACK", f"{one.end(target.ip, target.port)},{target.ip}")


class _Port:
    """Writes one port of a Service into a state."""

    def __init__(self, made: State, port: Port, settings: FamilySettings, scheduler: str) -> None:
        self._made = made
        self._port = port
        chosen = settings.node_port_ips
        self._node_ips = settings.node_ips if chosen is None else chosen
        self._scheduler = scheduler

    def serve(self, ip: str, number: int, targets: Sequence[Target]) -> None:
        port = self._port
        ends = tuple(Destination(one.ip, one.port) for one in targets)
        server = VirtualServer(ip, number, port.protocol)
        self._made.servers[server] = Serving(self._scheduler, port.affinity_s, ends)
        if port.protocol == "udp":
            self._made.staying[server] = port.serving

    def end(self, ip: str, number: int) -> str:
        return f"{ip},{self._port.protocol}:{number}"

    def enter(self, base: str, entry: str) -> None:
        self._made.entries.add((set_name(base, self._port.family), entry))

    def hold(self, base: str, ip: str) -> None:
        self._made.addresses.add(ip)
        self.enter("KUBE-IPVS-IPS", ip)
        self.enter(base, self.end(ip, self._port.port))

    def guard(self, ip: str) -> None:
        """A load balancer's address: its policy, and who may use it."""
        port = self._port
        where = self.end(ip, port.port)
        if port.external_local:
            self.enter("KUBE-LOAD-BALANCER-LOCAL", where)
        if port.source_ranges and port.any:
            self.enter("KUBE-LOAD-BALANCER-FW", where)
            for cidr in port.source_ranges:
                # A single address is printed without its length.
                own = cidr.removesuffix("/128" if port.family == 6 else "/32")
                self.enter("KUBE-LOAD-BALANCER-SOURCE-CIDR", f"{where},{own}")

    def node_port(self) -> None:
        port = self._port
        for ip in self._node_ips:
            self.serve(ip, port.node_port, port.external)
        # A port of a Local Service is in both sets: the first match returns unmarked.
        bases = ["KUBE-NODE-PORT", *(["KUBE-NODE-PORT-LOCAL"] if port.external_local else [])]
        for base in bases:
            if port.protocol == "sctp":
                for ip in self._node_ips:
                    self.enter(f"{base}-SCTP-HASH", self.end(ip, port.node_port))
            else:
                self.enter(f"{base}-{port.protocol.upper()}", str(port.node_port))


def listing(whole: State) -> str:
    """Servers as `ipvsadm -Sn` prints them, addresses and sets as their own tools do."""
    flags = {"tcp": "-t", "udp": "-u", "sctp": "--sctp-service"}
    lines = []
    for server in sorted(whole.servers, key=lambda one: (":" in one.ip, one)):
        serving = whole.servers[server]
        at = f"{flags[server.protocol]} {_text(server.ip, server.port)}"
        persistent = f" -p {serving.persistence_s}" if serving.persistence_s else ""
        lines.append(f"-A {at} -s {serving.scheduler}{persistent}")
        lines += [
            f"-a {at} -r {_text(one.ip, one.port)} -m -w {one.weight}"
            for one in serving.destinations
        ]
    lines += [f"address {ip} dev kube-ipvs0" for ip in sorted(whole.addresses)]
    lines += [f"add {name} {entry}" for name, entry in sorted(whole.entries)]
    return "\n".join(lines) + "\n" if lines else ""


def together(states: Iterable[State]) -> State:
    """The state of all Services."""
    whole = State()
    for one in states:
        whole.servers.update(one.servers)
        whole.staying.update(one.staying)
        whole.addresses |= one.addresses
        whole.entries |= one.entries
    return whole


def _text(ip: str, port: int) -> str:
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"
