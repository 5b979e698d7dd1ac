"""The frame of the iptables rules: fixed chains, jumps from the built-in ones, and the hubs.

From a thousand Services on, the two large hubs are divided: KUBE-SERVICES by address prefix and
KUBE-NODEPORTS by port range. A packet then meets about twice the square root of the rules, and a
change rewrites one part instead of all.
"""

from __future__ import annotations

import functools
import ipaddress
import math
import socket
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from sampan.api.meta import Key
from sampan.linux.base.iptables_text import TABLES, Chain, Jump
from sampan.proxy.backends.iptables.rules import HUBS, NODEPORTS, SERVICES, Entry, Hub, hashed
from sampan.proxy.settings import FamilySettings

DIVIDE_FROM = 1000
UNDIVIDE_BELOW = 800
"""Lower than where dividing begins: a cluster at the edge must not change back and forth."""
PORT_BITS = 6
CANARY = "KUBE-PROXY-CANARY"
PREFIX = "KUBE-"
PARTS = ("KUBE-PART-", "KUBE-PORTS-")

_SAID = "-m comment --comment"
JUMPS: tuple[Jump, ...] = (
    ("filter", "INPUT", "-j KUBE-FIREWALL"),
    (
        "filter",
        "INPUT",
        f'-m conntrack --ctstate NEW {_SAID} "kubernetes load balancer firewall" '
        "-j KUBE-PROXY-FIREWALL",
    ),
    (
        "filter",
        "INPUT",
        f'{_SAID} "kubernetes health check service ports" -j KUBE-NODEPORTS',
    ),
    (
        "filter",
        "INPUT",
        f'-m conntrack --ctstate NEW {_SAID} "kubernetes externally-visible service portals" '
        "-j KUBE-EXTERNAL-SERVICES",
    ),
    (
        "filter",
        "FORWARD",
        f'-m conntrack --ctstate NEW {_SAID} "kubernetes load balancer firewall" '
        "-j KUBE-PROXY-FIREWALL",
    ),
    ("filter", "FORWARD", f'{_SAID} "kubernetes forwarding rules" -j KUBE-FORWARD'),
    (
        "filter",
        "FORWARD",
        f'-m conntrack --ctstate NEW {_SAID} "kubernetes service portals" -j KUBE-SERVICES',
    ),
    (
        "filter",
        "FORWARD",
        f'-m conntrack --ctstate NEW {_SAID} "kubernetes externally-visible service portals" '
        "-j KUBE-EXTERNAL-SERVICES",
    ),
    ("filter", "OUTPUT", "-j KUBE-FIREWALL"),
    (
        "filter",
        "OUTPUT",
        f'-m conntrack --ctstate NEW {_SAID} "kubernetes load balancer firewall" '
        "-j KUBE-PROXY-FIREWALL",
    ),
    (
        "filter",
        "OUTPUT",
        f'-m conntrack --ctstate NEW {_SAID} "kubernetes service portals" -j KUBE-SERVICES',
    ),
    ("nat", "PREROUTING", f'{_SAID} "kubernetes service portals" -j KUBE-SERVICES'),
    ("nat", "OUTPUT", f'{_SAID} "kubernetes service portals" -j KUBE-SERVICES'),
    ("nat", "POSTROUTING", f'{_SAID} "kubernetes postrouting rules" -j KUBE-POSTROUTING'),
)
"""From the built-in chains, in the order in which they must stand."""


def fixed(settings: FamilySettings) -> list[Chain]:
    """The chains that do not depend on Services."""
    mark = f"{settings.mark:#x}"
    forward = [
        f'-A KUBE-FORWARD {_SAID} "kubernetes forwarding rules" -m mark --mark {mark}/{mark} '
        "-j ACCEPT",
        f'-A KUBE-FORWARD {_SAID} "kubernetes forwarding conntrack rule" '
        "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    ]
    if settings.drop_invalid:
        forward.insert(0, "-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP")
    firewall: tuple[str, ...] = ()
    if settings.localhost_node_ports and settings.family == 4:
        firewall = (
            f'-A KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 {_SAID} "block incoming localnet '
            'connections" -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP',
        )
    return [
        *(Chain(table, CANARY, ()) for table in TABLES),
        Chain("filter", "KUBE-FORWARD", tuple(forward)),
        Chain("filter", "KUBE-FIREWALL", firewall),
        Chain(
            "nat",
            "KUBE-MARK-MASQ",
            (f"-A KUBE-MARK-MASQ -j MARK --set-xmark {mark}/{mark}",),
        ),
        Chain(
            "nat",
            "KUBE-POSTROUTING",
            (
                f"-A KUBE-POSTROUTING -m mark ! --mark {mark}/{mark} -j RETURN",
                f"-A KUBE-POSTROUTING -j MARK --set-xmark {mark}/0x0",
                f'-A KUBE-POSTROUTING {_SAID} "kubernetes service traffic requiring SNAT" '
                "-j MASQUERADE --random-fully",
            ),
        ),
    ]


def node_port_rules(settings: FamilySettings) -> tuple[str, ...]:
    """The last rules of KUBE-SERVICES: what is for this node itself."""
    note = f'{_SAID} "kubernetes service nodeports; NOTE: this must be the last rule in this chain"'
    hub = "-A KUBE-SERVICES"
    if settings.node_port_ips is not None:
        mask = 128 if settings.family == 6 else 32
        return tuple(
            f"{hub} -d {ip}/{mask} {note} -j KUBE-NODEPORTS" for ip in settings.node_port_ips
        )
    skip = ""
    if settings.family == 6:
        skip = "! -d ::1/128 "
    elif not settings.localhost_node_ports:
        skip = "! -d 127.0.0.0/8 "
    return (f"{hub} {skip}{note} -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS",)


class Division(NamedTuple):
    """How large hubs are divided: the length of address prefixes; 0 for not at all."""

    prefix: int = 0

    def part(self, hub: Hub, where: str) -> tuple[str, str]:
        """The chain in which an entry stands, and the match that leads there; nothing for the hub
        itself.
        """
        if not self.prefix or not where:
            return "", ""
        if hub == SERVICES:
            bits = 128 if ":" in where else 32
            return _service_part(_number(where) >> (bits - self.prefix), bits, self.prefix)
        if hub == NODEPORTS:
            first = int(where) >> PORT_BITS << PORT_BITS
            return f"KUBE-PORTS-{first}", f"{first}:{first + (1 << PORT_BITS) - 1}"
        return "", ""


WHOLE = Division()


@functools.lru_cache(maxsize=4096)
def _service_part(start: int, bits: int, prefix: int) -> tuple[str, str]:
    """The chain of a network whose addresses begin with these bits, and its match."""
    whole = start << (bits - prefix)
    network = ipaddress.ip_network((whole.to_bytes(bits // 8), prefix))
    return f"KUBE-PART-{hashed(str(network))}", f"-d {network}"


def _number(ip: str) -> int:
    return int.from_bytes(socket.inet_pton(socket.AF_INET6 if ":" in ip else socket.AF_INET, ip))


def division(addresses: Iterable[str], family: int, count: int) -> Division:
    """A prefix length that makes about as many parts as each has rules."""
    if count < DIVIDE_FROM:
        return WHOLE
    numbers = [_number(ip) for ip in addresses]
    bits = 128 if family == 6 else 32
    wanted = math.isqrt(max(1, len(numbers)))
    low, high = 1, bits - 1
    while low < high:
        middle = (low + high) // 2
        parts = len({number >> (bits - middle) for number in numbers})
        if parts >= wanted:
            high = middle
        else:
            low = middle + 1
    return Division(low)


def hub_chains(
    hub: Hub, entries: Mapping[Key, tuple[Entry, ...]], how: Division, settings: FamilySettings
) -> list[Chain]:
    """A hub with its entries in order of their Services, divided into parts where that is on."""
    table, name = hub
    plain: list[str] = []
    parts: dict[str, tuple[str, list[str]]] = {}
    for key in sorted(entries, key=str):
        for entry in entries[key]:
            part, match = how.part(hub, entry.where)
            if not part:
                plain.append(entry.rule)
                continue
            rule = entry.rule.replace(f"-A {name} ", f"-A {part} ", 1)
            parts.setdefault(part, (match, []))[1].append(rule)
    jumps = [
        jump
        for part, (match, rules) in sorted(parts.items())
        for jump in _jumps(hub, part, match, rules)
    ]
    tail = node_port_rules(settings) if hub == SERVICES else ()
    made = [Chain(table, part, tuple(rules)) for part, (_, rules) in sorted(parts.items())]
    return [*made, Chain(table, name, (*plain, *jumps, *tail))]


RANKS = ("KUBE-SEP-", "KUBE-SVC-", "KUBE-SVL-", "KUBE-EXT-", "KUBE-FW-")
"""Chains in the order in which they may be written one after another: targets come first."""


def portions(chains: Sequence[Chain], size: int) -> list[list[Chain]]:
    """Chains in lists of at most `size`, each of which leaves rules that lead nowhere false; the
    last one, with all hubs, is what puts them in force. One list where `size` is 0.
    """
    if not size or len(chains) <= size:
        return [list(chains)]
    hubs = {name for _, name in HUBS}
    own: list[list[Chain]] = [[] for _ in RANKS]
    fixed: list[Chain] = []
    last: list[Chain] = []
    for chain in chains:
        rank = _rank(chain.name)
        if rank >= 0:
            own[rank].append(chain)
        elif chain.name in hubs or chain.name.startswith(PARTS):
            last.append(chain)
        else:
            fixed.append(chain)
    ordered = [*fixed, *(chain for some in own for chain in some)]
    return [*(ordered[at : at + size] for at in range(0, len(ordered), size)), last]


def removals(gone: Sequence[tuple[str, str]], size: int) -> list[list[tuple[str, str]]]:
    """Chains to delete in lists of at most `size`: those that lead to others go first."""
    if not size or len(gone) <= size:
        return [list(gone)]
    hubs = [where for where in gone if _rank(where[1]) < 0]
    own = sorted((where for where in gone if _rank(where[1]) >= 0), key=lambda w: -_rank(w[1]))
    return [hubs, *(own[at : at + size] for at in range(0, len(own), size))]


def _rank(name: str) -> int:
    return next((n for n, prefix in enumerate(RANKS) if name.startswith(prefix)), -1)


def _jumps(hub: Hub, part: str, match: str, rules: list[str]) -> list[str]:
    """The rules that lead from a hub to one of its parts; only protocols that stand in it, since
    a kernel may lack one.
    """
    if hub == SERVICES:
        return [f"-A {hub[1]} {match} -j {part}"]
    protocols = sorted({rule.partition(" -p ")[2].partition(" ")[0] for rule in rules})
    return [f"-A {hub[1]} -p {one} -m {one} --dport {match} -j {part}" for one in protocols]
