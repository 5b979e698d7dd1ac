"""The rules that are the same for all Services: one table per family, and how its sets look.

    prerouting/output -> services -> cluster-ip ------------> endpoints -> pick-K (K endpoints)
                                  -> external(-local) ------> endpoints, or short-circuit -> short-K
                                  -> nodeports -> nodeport(-local) -> nodeport-endpoints -> ...
    input/forward/output -> no-endpoints, cluster-ips-check       postrouting -> masquerading

An endpoint is found in one map lookup: the key holds address, protocol, port and a random number
below K, the count of the Service's endpoints; every K in use has a map of its own, and a packet
tries them in turn. So no change of a Service ever touches a rule.
"""

from __future__ import annotations

from sampan.linux.base.nft_text import ChainSpec, SetSpec, Table
from sampan.proxy.settings import FamilySettings

NAME = "kube-proxy"
WORDS = {4: "ip", 6: "ip6"}
GROUPS = {
    "endpoints": "pick",
    "short-endpoints": "short",
    "nodeport-endpoints": "nodeport-pick",
    "nodeport-short-endpoints": "nodeport-short",
}
"""Endpoint maps by what they are for, and the chains that look into them."""
HUBS = {
    "endpoints": "endpoints",
    "short-endpoints": "short-circuit",
    "nodeport-endpoints": "nodeport-endpoints",
    "nodeport-short-endpoints": "nodeport-short-circuit",
}
"""The chain from which the chains of a group are tried."""
AFFINITY = {
    "endpoints": "affinity-services",
    "short-endpoints": "affinity-short",
    "nodeport-endpoints": "affinity-nodeports",
    "nodeport-short-endpoints": "affinity-nodeport-short",
}
"""The verdict maps that lead to Services with session affinity."""


def table(settings: FamilySettings) -> Table:
    """The table without any Service."""
    made = Table(WORDS[settings.family], NAME, "rules for kube-proxy, made by sampan")
    made.sets = _sets(settings)
    made.chains = _chains(settings)
    return made


def class_map(group: str, count: int, family: int) -> SetSpec:
    """The map of a group for Services with `count` endpoints.

    `typeof` is needed because a random number has no type name; the chains that use such a map are
    only ever added with it: nft 1.0.6 cannot check a rule against one that exists already.
    """
    words = WORDS[family]
    address = "" if group.startswith("nodeport") else f"{words} daddr . "
    key = f"{address}meta l4proto . th dport . numgen random mod {count}"
    return SetSpec("map", f"typeof {key} : {words} daddr . th dport")


def class_chain(group: str, count: int, family: int) -> ChainSpec:
    """The chain that picks one of `count` endpoints."""
    words = WORDS[family]
    address = "" if group.startswith("nodeport") else f"{words} daddr . "
    key = f"{address}meta l4proto . th dport . numgen random mod {count}"
    return ChainSpec((f"dnat {words} to {key} map @{group}-{count}",))


def hub_rules(group: str, counts: tuple[int, ...]) -> tuple[str, ...]:
    """The rules of a hub chain: session affinity first, then every class in use, and all of them
    once more: a packet that is held up here while a Service moves from one class to another might
    look into each when it is not there.
    """
    nodeport = group.startswith("nodeport")
    match = "meta l4proto . th dport" if nodeport else "{addr} daddr . meta l4proto . th dport"
    tries = tuple(f"jump {GROUPS[group]}-{count}" for count in counts)
    return (f"{match} vmap @{AFFINITY[group]}", *tries, *tries)


def hub(group: str, counts: tuple[int, ...], family: int) -> ChainSpec:
    rules = hub_rules(group, counts)
    return ChainSpec(tuple(rule.replace("{addr}", WORDS[family]) for rule in rules))


def _sets(settings: FamilySettings) -> dict[str, SetSpec]:
    address = "ipv6_addr" if settings.family == 6 else "ipv4_addr"
    service = f"type {address} . inet_proto . inet_service"
    port = "type inet_proto . inet_service"
    sets = {
        "cluster-ips": SetSpec("set", f"type {address}", comment="Active ClusterIPs"),
        "external-services": SetSpec("set", service, comment="external addresses, policy Cluster"),
        "external-local-services": SetSpec("set", service, comment="external ones, policy Local"),
        "nodeports": SetSpec("set", port, comment="node ports, policy Cluster"),
        "nodeports-local": SetSpec("set", port, comment="node ports, policy Local"),
        "reject-services": SetSpec("set", service, comment="nobody answers anywhere"),
        "drop-services": SetSpec("set", service, comment="nobody answers on this node"),
        "reject-nodeports": SetSpec("set", port, comment="nobody answers anywhere"),
        "drop-nodeports": SetSpec("set", port, comment="nobody answers on this node"),
        "firewall-services": SetSpec("set", service, comment="subject to source ranges"),
        "firewall-allowed": SetSpec(
            "set", f"{service} . {address}", flags="interval", comment="who may use them"
        ),
        "hairpin-connections": SetSpec(
            "set",
            f"type {address} . {address} . inet_proto . inet_service",
            comment="endpoints that reach themselves",
        ),
    }
    for name in AFFINITY.values():
        kind = port if "nodeport" in name else service
        sets[name] = SetSpec("map", f"{kind} : verdict", comment="ClientIP session affinity")
    if settings.node_port_ips is not None:
        sets["nodeport-ips"] = SetSpec(
            "set", f"type {address}", comment="IPs that accept NodePort traffic"
        )
    return sets


def _chains(settings: FamilySettings) -> dict[str, ChainSpec]:
    words = WORDS[settings.family]
    return {
        **_base_chains(),
        **_filter_chains(settings, words),
        **_nat_chains(settings, words),
        **{chain: hub(group, (), settings.family) for group, chain in HUBS.items()},
    }


def _base_chains() -> dict[str, ChainSpec]:
    def base(kind: str, hook: str, priority: str, *rules: str) -> ChainSpec:
        return ChainSpec(rules, f"type {kind} hook {hook} priority {priority}; policy accept;")

    firewall = "ct state new jump firewall-check"
    dead = "ct state new jump no-endpoints"
    unknown = "ct state new jump cluster-ips-check"
    return {
        "firewall-check": ChainSpec(()),
        "no-endpoints": ChainSpec(()),
        "nodeport-no-endpoints": ChainSpec(()),
        "cluster-ips-check": ChainSpec(()),
        "services": ChainSpec(()),
        "masquerading": ChainSpec(()),
        "filter-prerouting-pre-dnat": base("filter", "prerouting", "dstnat - 10", firewall),
        "filter-output-pre-dnat": base("filter", "output", "-110", firewall),
        "filter-input": base(
            "filter", "input", "filter", "ct state new jump nodeport-no-endpoints", dead
        ),
        "filter-forward": base("filter", "forward", "filter", dead, unknown),
        "filter-output": base("filter", "output", "filter", dead, unknown),
        "nat-prerouting": base("nat", "prerouting", "dstnat", "jump services"),
        "nat-output": base("nat", "output", "-100", "jump services"),
        "nat-postrouting": base("nat", "postrouting", "srcnat", "jump masquerading"),
    }


def _filter_chains(settings: FamilySettings, words: str) -> dict[str, ChainSpec]:
    service = f"{words} daddr . meta l4proto . th dport"
    port = "meta l4proto . th dport"
    node = node_port_match(settings)
    return {
        "firewall-check": ChainSpec(
            (f"{service} @firewall-services {service} . {words} saddr != @firewall-allowed drop",)
        ),
        "no-endpoints": ChainSpec(
            (f"{service} @reject-services reject", f"{service} @drop-services drop")
        ),
        "nodeport-no-endpoints": ChainSpec(
            (
                f"{node} {port} @reject-nodeports reject",
                f"{node} {port} @drop-nodeports drop",
            )
        ),
        "cluster-ips-check": ChainSpec(
            (
                f'{words} daddr @cluster-ips reject comment "a port that the Service lacks"',
                *(
                    f'{words} daddr {cidr} drop comment "a ClusterIP that nobody has"'
                    for cidr in settings.service_cidrs
                ),
            )
        ),
    }


def _nat_chains(settings: FamilySettings, words: str) -> dict[str, ChainSpec]:
    service = f"{words} daddr . meta l4proto . th dport"
    port = "meta l4proto . th dport"
    bit = f"0x{settings.mark:08x}"
    mark = f"meta mark set meta mark | {bit}"
    mine = from_pod(settings, words)
    local = "fib saddr type local"
    return {
        "services": ChainSpec(
            (
                f"{words} daddr @cluster-ips goto cluster-ip",
                f"{service} @external-services goto external",
                f"{service} @external-local-services goto external-local",
                f"{node_port_match(settings)} jump nodeports",
            )
        ),
        "cluster-ip": ChainSpec((*_off_cluster(settings, words, mark), "goto endpoints")),
        "external": ChainSpec((mark, "goto endpoints")),
        "external-local": ChainSpec(
            (
                *(f"{match} goto short-circuit" for match in mine),
                f"{local} {mark}",
                f"{local} goto short-circuit",
                "goto endpoints",
            )
        ),
        "nodeports": ChainSpec(
            (f"{port} @nodeports goto nodeport", f"{port} @nodeports-local goto nodeport-local")
        ),
        "nodeport": ChainSpec((mark, "goto nodeport-endpoints")),
        "nodeport-local": ChainSpec(
            (
                *(f"{match} goto nodeport-short-circuit" for match in mine),
                f"{local} {mark}",
                f"{local} goto nodeport-short-circuit",
                "goto nodeport-endpoints",
            )
        ),
        "masquerading": ChainSpec(
            (
                f"meta mark & {bit} != 0x00000000 meta mark set meta mark ^ {bit} "
                "masquerade fully-random",
                f"ct status dnat {words} saddr . {words} daddr . {port} @hairpin-connections "
                "masquerade fully-random",
            )
        ),
    }


def node_port_match(settings: FamilySettings) -> str:
    """The condition under which a destination is one of the node's addresses for node ports."""
    words = WORDS[settings.family]
    if settings.node_port_ips is not None:
        return f"{words} daddr @nodeport-ips"
    loopback = "::1" if settings.family == 6 else "127.0.0.0/8"
    return f"fib daddr type local {words} daddr != {loopback}"


def from_pod(settings: FamilySettings, words: str) -> tuple[str, ...]:
    """Conditions of which one holds for a pod's packet; none where pods cannot be told."""
    if settings.detector.interface:
        return (f'iifname "{settings.detector.interface}"',)
    return tuple(f"{words} saddr {cidr}" for cidr in settings.detector.cidrs)


def _off_cluster(settings: FamilySettings, words: str, mark: str) -> tuple[str, ...]:
    """Masquerade at cluster IPs: everyone, or all but pods, or nobody."""
    detector = settings.detector
    if settings.masquerade_all:
        return (mark,)
    if detector.interface:
        return (f'iifname != "{detector.interface}" {mark}',)
    if not detector.cidrs:
        return ()
    if len(detector.cidrs) == 1:
        return (f"{words} saddr != {detector.cidrs[0]} {mark}",)
    return (f"{words} saddr != {{ {', '.join(detector.cidrs)} }} {mark}",)
