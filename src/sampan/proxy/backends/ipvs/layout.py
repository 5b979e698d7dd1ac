"""The rules of IPVS mode: their number does not depend on Services, which are entries of sets.

nat PREROUTING/OUTPUT -> KUBE-SERVICES: who is marked for masquerading, by set
filter INPUT -> KUBE-PROXY-FIREWALL (source ranges), KUBE-IPVS-FILTER (ports that nobody serves)
nat POSTROUTING -> KUBE-POSTROUTING: hairpins, and what is marked
"""

from __future__ import annotations

from sampan.linux.base.iptables_text import Chain, Jump
from sampan.proxy.settings import FamilySettings

DEVICE = "kube-ipvs0"
CANARY = "KUBE-PROXY-CANARY"
_SAID = "-m comment --comment"

KINDS = {
    "KUBE-LOOP-BACK": "hash:ip,port,ip",
    "KUBE-CLUSTER-IP": "hash:ip,port",
    "KUBE-EXTERNAL-IP": "hash:ip,port",
    "KUBE-EXTERNAL-IP-LOCAL": "hash:ip,port",
    "KUBE-LOAD-BALANCER": "hash:ip,port",
    "KUBE-LOAD-BALANCER-LOCAL": "hash:ip,port",
    "KUBE-LOAD-BALANCER-FW": "hash:ip,port",
    "KUBE-LOAD-BALANCER-SOURCE-CIDR": "hash:ip,port,net",
    "KUBE-NODE-PORT-TCP": "bitmap:port",
    "KUBE-NODE-PORT-LOCAL-TCP": "bitmap:port",
    "KUBE-NODE-PORT-UDP": "bitmap:port",
    "KUBE-NODE-PORT-LOCAL-UDP": "bitmap:port",
    "KUBE-NODE-PORT-SCTP-HASH": "hash:ip,port",
    "KUBE-NODE-PORT-LOCAL-SCTP-HASH": "hash:ip,port",
    "KUBE-HEALTH-CHECK-NODE-PORT": "bitmap:port",
    "KUBE-IPVS-IPS": "hash:ip",
}
"""Upstream's sets; in IPv6 their names begin with KUBE-6-."""

JUMPS: tuple[Jump, ...] = (
    ("nat", "PREROUTING", f'{_SAID} "kubernetes service portals" -j KUBE-SERVICES'),
    ("nat", "OUTPUT", f'{_SAID} "kubernetes service portals" -j KUBE-SERVICES'),
    ("nat", "POSTROUTING", f'{_SAID} "kubernetes postrouting rules" -j KUBE-POSTROUTING'),
    ("filter", "FORWARD", f'{_SAID} "kubernetes forwarding rules" -j KUBE-FORWARD'),
    ("filter", "INPUT", f'{_SAID} "kubernetes health check rules" -j KUBE-NODE-PORT'),
    ("filter", "INPUT", f'{_SAID} "kube-proxy firewall rules" -j KUBE-PROXY-FIREWALL'),
    ("filter", "INPUT", f'{_SAID} "kubernetes ipvs access filter" -j KUBE-IPVS-FILTER'),
    ("filter", "FORWARD", f'{_SAID} "kube-proxy firewall rules" -j KUBE-PROXY-FIREWALL'),
    ("filter", "OUTPUT", f'{_SAID} "kubernetes ipvs access filter" -j KUBE-IPVS-OUT-FILTER'),
    # IPVS takes the node's own packets before the filter table sees them; mangle comes earlier.
    ("mangle", "OUTPUT", f'{_SAID} "kube-proxy firewall rules" -j KUBE-PROXY-FIREWALL'),
)

SYSCTLS = {
    "ipv4/ip_forward": 1,
    "ipv4/vs/conntrack": 1,
    "ipv4/vs/conn_reuse_mode": 0,
    "ipv4/vs/expire_nodest_conn": 1,
    "ipv4/vs/expire_quiescent_template": 1,
}
STRICT_ARP = {"ipv4/conf/all/arp_ignore": 1, "ipv4/conf/all/arp_announce": 2}


def set_name(base: str, family: int) -> str:
    """A set's name in a family; ipset allows 31 characters."""
    return base if family == 4 else base.replace("KUBE-", "KUBE-6-", 1)[:31]


def create(base: str, family: int) -> str:
    """How the set is made, as `ipset restore` takes it."""
    kind = KINDS[base]
    if kind.startswith("bitmap"):
        return f"create {set_name(base, family)} {kind} range 0-65535"
    word = "inet6" if family == 6 else "inet"
    return f"create {set_name(base, family)} {kind} family {word}"


def chains(settings: FamilySettings) -> list[Chain]:
    """All chains of a family."""
    return [
        *(Chain(table, CANARY, ()) for table in ("mangle", "filter", "nat")),
        *_nat(settings),
        *_filter(settings),
    ]


def _match(base: str, settings: FamilySettings, flags: str) -> str:
    return f"-m set --match-set {set_name(base, settings.family)} {flags}"


def _nat(settings: FamilySettings) -> list[Chain]:
    mark = f"{settings.mark:#x}"
    services = [
        *_cluster_ips(settings),
        f"{_match('KUBE-LOAD-BALANCER', settings, 'dst,dst')} -j KUBE-LOAD-BALANCER",
        f"{_match('KUBE-EXTERNAL-IP', settings, 'dst,dst')} -j KUBE-MARK-MASQ",
        "-m addrtype --dst-type LOCAL -j KUBE-NODE-PORT",
    ]
    node_port = []
    for proto, suffix, flags in (
        ("tcp", "TCP", "dst"),
        ("udp", "UDP", "dst"),
        ("sctp", "SCTP-HASH", "dst,dst"),
    ):
        local = _match(f"KUBE-NODE-PORT-LOCAL-{suffix}", settings, flags)
        every = _match(f"KUBE-NODE-PORT-{suffix}", settings, flags)
        node_port += [f"-p {proto} {local} -j RETURN", f"-p {proto} {every} -j KUBE-MARK-MASQ"]
    balancer = [
        f"{_match('KUBE-LOAD-BALANCER-LOCAL', settings, 'dst,dst')} -j RETURN",
        "-j KUBE-MARK-MASQ",
    ]
    hairpin = _match("KUBE-LOOP-BACK", settings, "dst,dst,src")
    postrouting = [
        f'{_SAID} "Kubernetes endpoints dst ip:port, source ip for solving hairpin purpose" '
        f"{hairpin} -j MASQUERADE",
        f"-m mark ! --mark {mark}/{mark} -j RETURN",
        f"-j MARK --set-xmark {mark}/0x0",
        f'{_SAID} "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully',
    ]
    return [
        _chain("nat", "KUBE-SERVICES", services),
        _chain("nat", "KUBE-NODE-PORT", node_port),
        _chain("nat", "KUBE-LOAD-BALANCER", balancer),
        _chain("nat", "KUBE-MARK-MASQ", [f"-j MARK --set-xmark {mark}/{mark}"]),
        _chain("nat", "KUBE-POSTROUTING", postrouting),
    ]


def _cluster_ips(settings: FamilySettings) -> list[str]:
    """Masquerade at cluster IPs: everyone, or all but pods, or nobody."""
    match = _match("KUBE-CLUSTER-IP", settings, "dst,dst")
    detector = settings.detector
    if settings.masquerade_all:
        return [f"{match} -j KUBE-MARK-MASQ"]
    if detector.interface:
        name = detector.interface
        pattern = f"{name[:-1]}+" if name.endswith("*") else name
        return [f"! -i {pattern} {match} -j KUBE-MARK-MASQ"]
    return [f"! -s {cidr} {match} -j KUBE-MARK-MASQ" for cidr in detector.cidrs[:1]]


def _filter(settings: FamilySettings) -> list[Chain]:
    mark = f"{settings.mark:#x}"
    forward = [
        f'{_SAID} "kubernetes forwarding rules" -m mark --mark {mark}/{mark} -j ACCEPT',
        f'{_SAID} "kubernetes forwarding conntrack rule" '
        "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    ]
    allowed = _match("KUBE-LOAD-BALANCER-SOURCE-CIDR", settings, "dst,dst,src")
    reject = "icmp6-port-unreachable" if settings.family == 6 else "icmp-port-unreachable"
    known = [
        f"{_match(base, settings, 'dst,dst')} -j RETURN"
        for base in ("KUBE-LOAD-BALANCER", "KUBE-CLUSTER-IP", "KUBE-EXTERNAL-IP")
    ]
    known.append(f"{_match('KUBE-EXTERNAL-IP-LOCAL', settings, 'dst,dst')} -j RETURN")
    stranger = _match("KUBE-IPVS-IPS", settings, "dst")
    refuse = f"-m conntrack --ctstate NEW {stranger} -j REJECT --reject-with {reject}"
    health = _match("KUBE-HEALTH-CHECK-NODE-PORT", settings, "dst")
    guarded = _match("KUBE-LOAD-BALANCER-FW", settings, "dst,dst")
    return [
        _chain("filter", "KUBE-FORWARD", forward),
        _chain(
            "filter",
            "KUBE-NODE-PORT",
            [f'-p tcp {_SAID} "Kubernetes health check node port" {health} -j ACCEPT'],
        ),
        *(
            _chain(table, name, rules)
            for table in ("filter", "mangle")
            for name, rules in (
                ("KUBE-PROXY-FIREWALL", [f"{guarded} -j KUBE-SOURCE-RANGES-FIREWALL"]),
                ("KUBE-SOURCE-RANGES-FIREWALL", [f"{allowed} -j RETURN", "-j DROP"]),
            )
        ),
        _chain("filter", "KUBE-IPVS-FILTER", [*known, refuse]),
        _chain(
            "filter",
            "KUBE-IPVS-OUT-FILTER",
            [*known, refuse],
        ),
    ]


def _chain(table: str, name: str, rules: list[str]) -> Chain:
    return Chain(table, name, tuple(f"-A {name} {rule}" for rule in rules))
