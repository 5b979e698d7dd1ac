"""*acl* decides by source address and type who is answered, refused, or not heard at all."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

from sampan.dns import codes, names
from sampan.dns.message import Edns
from sampan.dns.plugin import DROP, Handler, Plugin, Query, Reply, reply_to
from sampan.dns.setup import Args, World

Network = IPv4Network | IPv6Network
ACTIONS = ("allow", "block", "filter", "drop")
EXTENDED_ERROR = 15
BLOCKED, FILTERED = 15, 17
"""Extended DNS errors (RFC 8914)."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Empty types or networks match everything."""

    action: str
    types: frozenset[int]
    networks: tuple[Network, ...]

    def matches(self, kind: int, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
        if self.types and kind not in self.types:
            return False
        return not self.networks or any(address in network for network in self.networks)


@dataclass(frozen=True, slots=True)
class Rule:
    zones: tuple[str, ...]
    policies: tuple[Policy, ...]


class Acl(Plugin):
    def __init__(self, world: World, rules: list[Rule]) -> None:
        self.world = world
        self.rules = rules

    async def answer(self, query: Query, following: Handler) -> Reply:
        counters, server = self.world.counters, query.server.name
        for rule in self.rules:
            zone = names.longest_zone(query.name, rule.zones)
            action = _action(rule, query) if zone else ""
            labels = (server, zone, query.view)
            if action == "drop":
                counters.acl_dropped.labels(*labels).inc()
                return DROP
            if action == "block":
                counters.acl_blocked.labels(*labels).inc()
                return _told(query, codes.REFUSED, BLOCKED)
            if action == "filter":
                counters.acl_filtered.labels(*labels).inc()
                return _told(query, codes.NOERROR, FILTERED)
            if action == "allow":
                break
        counters.acl_allowed.labels(server, query.view).inc()
        return await following(query)


def _action(rule: Rule, query: Query) -> str:
    address = ipaddress.ip_address(query.client.address.partition("%")[0])
    for policy in rule.policies:
        if policy.matches(query.type, address):
            return policy.action
    return ""


def _told(query: Query, rcode: int, reason: int) -> Reply:
    edns = Edns(4096, codes.DO, 0, ((EXTENDED_ERROR, reason.to_bytes(2)),))
    return reply_to(query, aa=False, rcode=rcode)._replace(edns=edns)


def setup(args: Args) -> Plugin:
    rules = []
    for words in args.places():
        policies = [_policy(args, word.lower()) for word in args.properties()]
        rules.append(Rule(args.zones(words), tuple(policies)))
    return Acl(args.world, rules)


def _policy(args: Args, action: str) -> Policy:
    if action not in ACTIONS:
        raise args.error(
            f"unexpected token \"{args.word}\"; expect 'allow', 'block', 'filter' or 'drop'"
        )
    types: set[int] = set()
    networks: list[Network] = []
    words = args.rest()
    while words:
        word = words.pop(0)
        section = word.lower()
        if section not in ("type", "net"):
            raise args.error(f"unexpected token \"{word}\"; expect 'type | net'")
        values = []
        while words and words[0].lower() not in ("type", "net"):
            values.append(words.pop(0))
        if not values:
            raise args.error(f'no token specified in "{section}" section')
        if "*" in values:
            continue
        if section == "type":
            types |= {_type(args, value) for value in values}
        else:
            networks += [_network(args, value) for value in values]
    return Policy(action, frozenset(types), tuple(networks))


def _type(args: Args, word: str) -> int:
    number = codes.TYPES.get(word)
    if number is None:
        raise args.error(f'unexpected token "{word}"; expect legal QTYPE')
    return number


def _network(args: Args, word: str) -> Network:
    try:
        return ipaddress.ip_network(word, strict=False)
    except ValueError:
        # A lone address is made a network before it is read.
        whole = word if "/" in word else word + ("/128" if ":" in word else "/32")
        raise args.error(f'illegal CIDR notation "{whole}"') from None
