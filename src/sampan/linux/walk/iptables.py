"""A packet walker for iptables: what the rules do with the first packet of a connection.

As with nftables, chance goes every way; `memory` is what the `recent` lists hold. Rules may match
sets of ipset, and IPVS may stand behind them: then a packet for one of its virtual servers leaves
the filter chains for a destination.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from sampan.linux.walk.iptables_rule import Option, Rule, tables
from sampan.linux.walk.packet import DROP, PASS, REJECT, Host, Outcome, Packet

Memory = Mapping[str, frozenset[str]]
"""Clients by the name of a `recent` list."""
DEPTH = 16


class Path(NamedTuple):
    """One way through: the outcome, the lists that learn the client, the rules that matched."""

    outcome: Outcome
    learnt: tuple[str, ...]
    rules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _State:
    packet: Packet
    mark: int = 0
    translated: tuple[str, int] | None = None
    masquerade: bool = False
    learnt: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()

    @property
    def destination(self) -> str:
        return self.translated[0] if self.translated else self.packet.destination

    @property
    def port(self) -> int:
        return self.translated[1] if self.translated else self.packet.port


@dataclass
class Walker:
    """Walks packets through iptables-save text."""

    saved: str
    host: Host
    memory: Memory = field(default_factory=dict)
    sets: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Entries of ipset's sets, as it prints them."""
    servers: Mapping[tuple[str, int, str], tuple[tuple[str, int], ...]] = field(
        default_factory=dict
    )
    """IPVS' virtual servers with their destinations."""

    def __post_init__(self) -> None:
        self._tables = tables(self.saved)

    def outcomes(self, packet: Packet) -> frozenset[Outcome]:
        return frozenset(path.outcome for path in self.paths(packet))

    def paths(self, packet: Packet) -> list[Path]:
        """Every way that the packet may take."""
        first = "OUTPUT" if packet.from_node else "PREROUTING"
        found: list[Path] = []
        for verdict, early in self._base("mangle", first, _State(packet)):
            if verdict == "DROP":
                found.append(Path(DROP, early.learnt, early.rules))
                continue
            for _, state in self._base("nat", first, early):
                found += self._filtered(state)
        return found

    def _filtered(self, state: _State) -> Iterator[Path]:
        """Behind destination NAT: the filter chains on the way, then postrouting."""
        served = self._served(state)
        if served is not None and state.packet.from_node:
            # IPVS takes the node's own packets before the filter table sees them.
            yield from self._spread(served, state)
            return
        hooks = ["OUTPUT"] if state.packet.from_node else []
        local = self.host.owns(state.destination)
        if local:
            hooks.append("INPUT")
        elif not state.packet.from_node:
            hooks.append("FORWARD")
        for verdict, passed in self._several(hooks, state):
            if verdict in ("DROP", "REJECT"):
                yield Path(DROP if verdict == "DROP" else REJECT, passed.learnt, passed.rules)
            elif served is not None:
                yield from self._spread(served, passed)
            elif local and not state.packet.from_node:
                yield _arrived(passed)
            else:
                for _, left in self._base("nat", "POSTROUTING", passed):
                    yield _arrived(left)

    def _served(self, state: _State) -> tuple[tuple[str, int], ...] | None:
        if state.translated is not None:
            return None
        return self.servers.get((state.destination, state.port, state.packet.protocol))

    def _spread(self, ends: tuple[tuple[str, int], ...], state: _State) -> Iterator[Path]:
        """IPVS: any destination, then postrouting; none, and the client is refused."""
        if not ends:
            yield Path(REJECT, state.learnt, state.rules)
        for end in ends:
            sent = replace(state, translated=end)
            if self.host.owns(end[0]) and not state.packet.from_node:
                # A destination on the node itself: the packet never leaves.
                yield _arrived(sent)
                continue
            for _, left in self._base("nat", "POSTROUTING", sent):
                yield _arrived(left)

    def _several(self, hooks: list[str], state: _State) -> Iterator[tuple[str, _State]]:
        if not hooks:
            yield "ACCEPT", state
            return
        for verdict, after in self._base("filter", hooks[0], state):
            if verdict in ("DROP", "REJECT"):
                yield verdict, after
            else:
                yield from self._several(hooks[1:], after)

    def _base(self, table: str, chain: str, state: _State) -> Iterator[tuple[str, _State]]:
        rules = self._tables.get(table, {}).get(chain, ())
        for verdict, after in self._rules(table, rules, state, 0):
            yield ("ACCEPT" if verdict in ("", "RETURN") else verdict), after

    def _rules(
        self, table: str, rules: tuple[Rule, ...], state: _State, depth: int
    ) -> Iterator[tuple[str, _State]]:
        """All ends of a chain; an empty verdict where it runs out."""
        if depth > DEPTH:
            raise RecursionError(f"chains of {table} are nested too deep")
        if not rules:
            yield "", state
            return
        rule, rest = rules[0], rules[1:]
        chance = any(one.name == "--probability" for one in rule.options)
        matched = all(self._matches(one, rule, state) for one in rule.options)
        if not matched or chance:
            yield from self._rules(table, rest, state, depth)
        if matched:
            yield from self._target(table, (rule, rest), state, depth)

    def _target(
        self, table: str, at: tuple[Rule, tuple[Rule, ...]], state: _State, depth: int
    ) -> Iterator[tuple[str, _State]]:
        rule, rest = at
        noted = replace(state, rules=(*state.rules, rule.text), learnt=_learnt(rule, state))
        if rule.target in ("", "MARK"):
            if rule.target:
                noted = replace(noted, mark=_marked(rule.argument("--set-xmark"), state.mark))
            yield from self._rules(table, rest, noted, depth)
        elif rule.target == "DNAT":
            ip, _, port = rule.argument("--to-destination").rpartition(":")
            yield "ACCEPT", replace(noted, translated=(ip.strip("[]"), int(port)))
        elif rule.target == "MASQUERADE":
            yield "ACCEPT", replace(noted, masquerade=True)
        elif rule.target == "RETURN":
            yield "", noted
        elif rule.target in ("ACCEPT", "DROP", "REJECT"):
            yield rule.target, noted
        else:
            chain = self._tables[table][rule.target]
            for verdict, back in self._rules(table, chain, noted, depth + 1):
                if verdict:
                    yield verdict, back
                else:
                    yield from self._rules(table, rest, back, depth)

    def _matches(self, option: Option, rule: Rule, state: _State) -> bool:
        return self._holds(option, rule, state) != option.negated

    def _holds(self, option: Option, rule: Rule, state: _State) -> bool:
        name, value = option.name, option.value
        if name in ("-s", "-d"):
            return _in(value, state.packet.source if name == "-s" else state.destination)
        if name in ("--src-type", "--dst-type"):
            ip = state.packet.source if name == "--src-type" else state.destination
            return self.host.owns(ip)
        if name == "--rcheck":
            listed = next(one.value for one in rule.options if one.name == "--name")
            return state.packet.source in self.memory.get(listed, frozenset())
        if name == "--match-set":
            return self._in_set(value, state)
        return _simple(name, value, state)

    def _in_set(self, name: str, state: _State) -> bool:
        """The set's fields are those of its entries: port, address, or address with port."""
        entries = self.sets.get(name, frozenset())
        where = f"{state.destination},{state.packet.protocol}:{state.port}"
        source = state.packet.source
        return (
            str(state.port) in entries
            or state.destination in entries
            or where in entries
            or any(
                one.startswith(where + ",") and _in(one.rpartition(",")[2], source)
                for one in entries
            )
        )


def _simple(name: str, value: str, state: _State) -> bool:
    """Conditions on the packet alone. `--set`, `--seconds`, `--name`, `--probability` are
    settings of others and always hold.
    """
    if name == "-p":
        return state.packet.protocol == value
    if name == "--dport":
        low, _, high = value.partition(":")
        return int(low) <= state.port <= int(high or low)
    if name == "-i":
        return _interface(value, state.packet.interface)
    if name == "--ctstate":
        states = value.split(",")
        return "NEW" in states or ("DNAT" in states and state.translated is not None)
    if name == "--mark":
        wanted, _, mask = value.partition("/")
        return state.mark & int(mask, 16) == int(wanted, 16)
    return True


def _interface(pattern: str, name: str) -> bool:
    if pattern.endswith("+"):
        return bool(name) and name.startswith(pattern[:-1])
    return name == pattern


def _in(cidr: str, ip: str) -> bool:
    return ipaddress.ip_address(ip) in ipaddress.ip_network(cidr)


def _marked(argument: str, mark: int) -> int:
    """`--set-xmark value/mask`: clear the mask's bits, then exclusive-or the value."""
    value, _, mask = argument.partition("/")
    return (mark & ~int(mask, 16)) ^ int(value, 16)


def _learnt(rule: Rule, state: _State) -> tuple[str, ...]:
    if not any(one.name == "--set" for one in rule.options):
        return state.learnt
    name = next(one.value for one in rule.options if one.name == "--name")
    return (*state.learnt, name)


def _arrived(state: _State) -> Path:
    if state.translated is None:
        return Path(PASS, state.learnt, state.rules)
    outcome = Outcome("to", *state.translated, masquerade=state.masquerade)
    return Path(outcome, state.learnt, state.rules)
