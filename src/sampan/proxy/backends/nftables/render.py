"""Render: what one Service is in the tables, and the difference between two such states. Pure."""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from sampan.api.meta import Key
from sampan.linux.base.nft import PROTOCOLS, Element
from sampan.linux.base.nft_text import ChainSpec, Script, SetSpec, Table, difference
from sampan.proxy.backends.nftables.layout import AFFINITY, NAME, WORDS
from sampan.proxy.model import Port, Rules, Target, label

_PORT = struct.Struct("!Hxx").pack
_INDEX = struct.Struct("=I").pack
_PROTO = {name: struct.pack("Bxxx", number) for name, number in PROTOCOLS.items()}
SHARED = frozenset({"hairpin-connections"})
"""Sets whose elements several Services may want at once: the loader counts them."""

Item = tuple[int, str, Element]
"""Family, set, element."""


@dataclass(frozen=True, slots=True)
class Ops:
    """The changes of one Service: elements out, elements in, and scripts for session affinity."""

    delete: tuple[Item, ...] = ()
    add: tuple[Item, ...] = ()
    script: tuple[Script, ...] = ()


@dataclass(slots=True)
class State:
    """All that one Service has in the tables."""

    items: list[Item] = field(default_factory=list)
    tables: dict[int, Table] = field(default_factory=dict)
    """Only with session affinity: its sets, chains and verdicts."""


_NOTHING = State()


def render(old: Rules | None, new: Rules | None) -> Ops:
    """What to change where a Service was `old` and is to be `new`."""
    before = state(old) if old else _NOTHING
    after = state(new) if new else _NOTHING
    had, have = set(before.items), set(after.items)
    delete = tuple(item for item in before.items if item not in have)
    add = tuple(item for item in after.items if item not in had)
    if not (before.tables or after.tables):
        return Ops(delete, add)
    return Ops(delete, add, _scripts(before, after))


def _scripts(before: State, after: State) -> tuple[Script, ...]:
    scripts = []
    for family, words in WORDS.items():
        old = before.tables.get(family) or Table(words, NAME)
        new = after.tables.get(family) or Table(words, NAME)
        script = difference(old, new)
        if script:
            scripts.append(script)
    return tuple(scripts)


def state(rules: Rules) -> State:
    """The elements and chains of a Service."""
    found = State()
    seen: set[tuple[int, str]] = set()
    for port in rules.ports:
        ip = _PACKERS[port.family]
        if (port.family, port.cluster_ip) not in seen:
            seen.add((port.family, port.cluster_ip))
            found.items.append((port.family, "cluster-ips", Element(ip(port.cluster_ip))))
        _internal(found, rules.key, port, ip)
        if port.externally_reachable:
            _external(found, rules.key, port, ip)
        _hairpins(found, port, ip)
    if len(rules.ports) > 1:
        # Two ports may lead to one endpoint: its hairpin is there once.
        found.items = list(dict.fromkeys(found.items))
    return found


def _v4(ip: str) -> bytes:
    return socket.inet_aton(ip)


def _v6(ip: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6, ip)


Packer = Callable[[str], bytes]
_PACKERS: dict[int, Packer] = {4: _v4, 6: _v6}


def _internal(found: State, key: Key, port: Port, ip: Packer) -> None:
    where = ip(port.cluster_ip) + _PROTO[port.protocol] + _PORT(port.port)
    targets = port.internal
    if not targets:
        verdict = "drop-services" if port.any else "reject-services"
        found.items.append((port.family, verdict, Element(where)))
    elif port.affinity_s:
        words = f"{port.cluster_ip} . {port.protocol} . {port.port}"
        _affinity(found, key, port, "endpoints", (words, targets))
    else:
        _spread(found, (port.family, "endpoints"), where, (targets, ip))


def _spread(
    found: State, group: tuple[int, str], where: bytes, to: tuple[Sequence[Target], Packer]
) -> None:
    """An element for every number that may come up."""
    targets, ip = to
    family, name = group
    name = f"{name}-{len(targets)}"
    items = found.items
    for index, target in enumerate(targets):
        data = ip(target[0]) + _PORT(target[1])
        items.append((family, name, Element(where + _INDEX(index), data)))


def _external(found: State, key: Key, port: Port, ip: Packer) -> None:
    proto = _PROTO[port.protocol]
    for address in dict.fromkeys((*port.external_ips, *port.load_balancer_ips)):
        where = ip(address) + proto + _PORT(port.port)
        words = f"{address} . {port.protocol} . {port.port}"
        _frontend(found, key, port, ("", where, words))
    if port.node_port:
        where = proto + _PORT(port.node_port)
        words = f"{port.protocol} . {port.node_port}"
        _frontend(found, key, port, ("nodeport-", where, words))
    if port.source_ranges and port.any:
        for address in port.load_balancer_ips:
            where = ip(address) + proto + _PORT(port.port)
            found.items.append((port.family, "firewall-services", Element(where)))
            found.items += _allowed(port, where)


def _frontend(found: State, key: Key, port: Port, at: tuple[str, bytes, str]) -> None:
    """One external address or node port: its policy, and who answers there."""
    prefix, where, words = at
    services = "nodeports" if prefix else "services"
    family, items = port.family, found.items
    if not port.external:
        verdict = "drop" if port.any else "reject"
        items.append((family, f"{verdict}-{services}", Element(where)))
        if not port.any:
            return
    policy = (
        ("nodeports-local" if prefix else "external-local-services")
        if (port.external_local)
        else ("nodeports" if prefix else "external-services")
    )
    items.append((family, policy, Element(where)))
    _answers(found, key, port, (f"{prefix}endpoints", where, words, port.external))
    if port.external_local:
        _answers(found, key, port, (f"{prefix}short-endpoints", where, words, port.cluster))


def _answers(
    found: State, key: Key, port: Port, at: tuple[str, bytes, str, tuple[Target, ...]]
) -> None:
    group, where, words, targets = at
    if not targets:
        return
    if port.affinity_s:
        _affinity(found, key, port, group, (words, targets))
    else:
        _spread(found, (port.family, group), where, (targets, _PACKERS[port.family]))


def _allowed(port: Port, where: bytes) -> Iterator[Item]:
    """The ranges that may use a load balancer's address; overlapping ones would be refused."""
    for low, high in merged(port.source_ranges):
        yield (
            port.family,
            "firewall-allowed",
            Element(where + low, b"", where + high),
        )


def merged(ranges: Sequence[str]) -> list[tuple[bytes, bytes]]:
    """First and last address of each range, overlapping ones made one."""
    ends = sorted(
        (network.network_address.packed, network.broadcast_address.packed)
        for network in (ipaddress.ip_network(text, strict=False) for text in ranges)
    )
    found: list[tuple[bytes, bytes]] = []
    for low, high in ends:
        if found and low <= found[-1][1]:
            found[-1] = (found[-1][0], max(high, found[-1][1]))
        else:
            found.append((low, high))
    return found


def _hairpins(found: State, port: Port, ip: Packer) -> None:
    proto = _PROTO[port.protocol]
    targets = port.cluster
    if port.local:
        targets = tuple(dict.fromkeys((*port.cluster, *port.local)))
    for target in targets:
        if target[2]:
            packed = ip(target[0])
            key = packed + packed + proto + _PORT(target[1])
            found.items.append((port.family, "hairpin-connections", Element(key)))


# Session affinity: the only Services with chains of their own.


def hashed(text: str) -> str:
    """A short name for what is too long for one."""
    return base64.b32encode(hashlib.sha256(text.encode()).digest()[:5]).decode()


def _affinity(
    found: State, key: Key, port: Port, group: str, to: tuple[str, tuple[Target, ...]]
) -> None:
    """A chain that first looks where the client was, then picks anew; one per list of endpoints."""
    words, targets = to
    family = WORDS[port.family]
    table = found.tables.setdefault(port.family, Table(family, NAME))
    name = label(key, port)
    local = targets == port.local and targets != port.cluster
    chain = f"affinity-{hashed(f'{name}/{port.protocol}')}" + ("-local" if local else "")
    table.verdicts.setdefault(AFFINITY[group], {})[words] = f"goto {chain}"
    if chain in table.chains:
        return
    ends = [_endpoint(table, name, port, target) for target in targets]
    choice = ", ".join(f"{index} : goto {end}" for index, end in enumerate(ends))
    again = tuple(f"{family} saddr @{end} goto {end}" for end in ends)
    pick = f"numgen random mod {len(ends)} vmap {{ {choice} }}"
    # What a replaced rule points to is gone at once, also for a packet that is just at that rule.
    rules = (*again, pick, f"goto {ends[-1]}")
    table.chains[chain] = ChainSpec(rules, comment=name)


def _endpoint(table: Table, name: str, port: Port, target: Target) -> str:
    """The chain of one endpoint and the set of clients that stay with it."""
    where = f"[{target.ip}]:{target.port}" if port.family == 6 else f"{target.ip}:{target.port}"
    end = f"client-{hashed(f'{name}/{port.protocol}/{where}')}"
    address = "ipv6_addr" if port.family == 6 else "ipv4_addr"
    table.sets[end] = SetSpec(
        "set",
        f"type {address}",
        flags="dynamic,timeout",
        timeout=duration(port.affinity_s),
        size=65535,
    )
    refresh = f"update @{end} {{ {table.family} saddr }}"
    forward = f"meta l4proto {port.protocol} dnat to {where}"
    table.chains[end] = ChainSpec((refresh, forward), comment=f"{name} -> {where}")
    return end


def duration(seconds: int) -> str:
    """Seconds as nft prints them: 10800 is 3h."""
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"
