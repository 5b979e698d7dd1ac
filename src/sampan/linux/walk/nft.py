"""A packet walker for nftables: what the rules of a table do with the first packet of a
connection, and by which rules.

Where the kernel draws a random number, the walker goes every way; so its answer is the set of all
outcomes that are possible. Random numbers and clients' memory (dynamic sets) are the only state.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from sampan.linux.base.nft import field_size, pack_field, unpack
from sampan.linux.base.nft_text import Table
from sampan.linux.walk.nft_rule import Step, Word, steps
from sampan.linux.walk.packet import DROP, PASS, REJECT, Host, Outcome, Packet

Memory = Mapping[str, frozenset[bytes]]
"""Clients that dynamic sets remember, packed."""
_PRIORITIES = {"dstnat": -100, "filter": 0, "srcnat": 100, "raw": -300, "mangle": -150}
_HOOK = re.compile(r"type (\w+) hook (\w+) priority (\S+)(?: ([+-]) (\d+))?; policy (\w+);")
DEPTH = 16


class Path(NamedTuple):
    """One way through: the outcome, what dynamic sets would learn, and the rules that matched."""

    outcome: Outcome
    learnt: tuple[tuple[str, bytes], ...]
    rules: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class _State:
    """The packet on its way."""

    packet: Packet
    mark: int = 0
    translated: tuple[str, int] | None = None
    masquerade: bool = False
    learnt: tuple[tuple[str, bytes], ...] = ()
    rules: tuple[tuple[str, str], ...] = ()
    chance: tuple[tuple[str, int], ...] = ()
    """Numbers already drawn in the rule at hand."""

    @property
    def destination(self) -> str:
        return self.translated[0] if self.translated else self.packet.destination

    @property
    def port(self) -> int:
        return self.translated[1] if self.translated else self.packet.port


@dataclass
class Walker:
    """Walks packets through one table; `memory` is what dynamic sets hold."""

    table: Table
    host: Host
    memory: Memory = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._steps: dict[str, tuple[Step, ...]] = {}

    def outcomes(self, packet: Packet) -> frozenset[Outcome]:
        return frozenset(path.outcome for path in self.paths(packet))

    def paths(self, packet: Packet) -> list[Path]:
        """Every way that the packet may take."""
        first = "output" if packet.from_node else "prerouting"
        found: list[Path] = []
        for verdict, state in self._hook(first, _State(packet)):
            found += self._onward(verdict, state)
        return found

    def _onward(self, verdict: str, state: _State) -> Iterator[Path]:
        """Behind the first hook: to the node itself, or out."""
        if verdict != "accept":
            yield _path(verdict, state)
            return
        if self.host.owns(state.destination):
            second = "input"
        else:
            second = "" if state.packet.from_node else "forward"
        for after, passed in self._hook(second, state) if second else [("accept", state)]:
            if after != "accept" or (second == "input" and not state.packet.from_node):
                yield _path(after, passed)
                continue
            for last, left in self._hook("postrouting", passed):
                yield _path(last, left)

    def _hook(self, hook: str, state: _State) -> Iterator[tuple[str, _State]]:
        chains = []
        for name, spec in self.table.chains.items():
            found = _HOOK.match(spec.hook)
            if found and found[2] == hook:
                chains.append((_priority(found), name, found[1]))
        yield from self._base_chains([(name, kind) for _, name, kind in sorted(chains)], state)

    def _base_chains(
        self, chains: list[tuple[str, str]], state: _State
    ) -> Iterator[tuple[str, _State]]:
        if not chains:
            yield "accept", state
            return
        (name, _), rest = chains[0], chains[1:]
        for verdict, after in self._chain(name, state, 0):
            if verdict in ("drop", "reject"):
                yield verdict, after
            else:
                yield from self._base_chains(rest, after)

    def _chain(self, name: str, state: _State, depth: int) -> Iterator[tuple[str, _State]]:
        """All ends of a chain: accept, drop, reject, or `continue` where it runs out."""
        if depth > DEPTH:
            raise RecursionError(f"chain {name} is nested too deep")
        yield from self._rules(name, self.table.chains[name].rules, state, depth)

    def _rules(
        self, name: str, rules: tuple[str, ...], state: _State, depth: int
    ) -> Iterator[tuple[str, _State]]:
        if not rules:
            yield "continue", state
            return
        rule, rest = rules[0], rules[1:]
        for verdict, after in self._rule(rule, state):
            if verdict == "missed":
                yield from self._rules(name, rest, state, depth)
                continue
            noted = replace(after, rules=(*after.rules, (name, rule)), chance=())
            action, _, target = verdict.partition(" ")
            if action in ("drop", "reject", "accept"):
                yield action, noted
            elif action == "return":
                yield "continue", noted
            elif action == "goto":
                yield from self._chain(target, noted, depth + 1)
            elif action == "jump":
                for inner, back in self._chain(target, noted, depth + 1):
                    if inner == "continue":
                        yield from self._rules(name, rest, back, depth)
                    else:
                        yield inner, back
            else:
                yield from self._rules(name, rest, noted, depth)

    def _rule(self, rule: str, state: _State) -> Iterator[tuple[str, _State]]:
        """`missed`, or a verdict; `continue` where the rule had none."""
        known = self._steps.get(rule)
        if known is None:
            known = self._steps[rule] = steps(rule)
        yield from self._take(known, state)

    def _take(self, rest: tuple[Step, ...], state: _State) -> Iterator[tuple[str, _State]]:
        if not rest:
            yield "continue", state
            return
        step = rest[0]
        for drawn in self._draws(step.key, state):
            verdict, after = self._one(step, drawn)
            if verdict == "":
                yield from self._take(rest[1:], after)
            else:
                yield verdict, after

    def _draws(self, key: tuple[Word, ...], state: _State) -> Iterator[_State]:
        """The state once for each number that may be drawn for a key."""
        modulus = next((word.modulus for word in key if word.what == "numgen"), 0)
        if not modulus:
            yield state
            return
        for number in range(modulus):
            yield replace(state, chance=(("numgen", number),))

    def _one(self, step: Step, state: _State) -> tuple[str, _State]:
        """Take one step: an empty verdict goes on, `missed` ends the rule."""
        if step.op in ("accept", "drop", "reject", "return"):
            return step.op, state
        if step.op in ("jump", "goto"):
            return f"{step.op} {step.argument}", state
        if step.op in ("dnat", "dnat map"):
            return self._dnat(step, state)
        if step.op in ("vmap", "vmap inline"):
            return self._vmap(step, state), state
        changed = self._changed(step, state)
        if changed is not None:
            return "", changed
        return ("" if self._matches(step, state) else "missed"), state

    def _changed(self, step: Step, state: _State) -> _State | None:
        """The state after a statement that is no verdict; None for a condition."""
        if step.op == "mark |":
            return replace(state, mark=state.mark | int(step.argument, 16))
        if step.op == "mark ^":
            return replace(state, mark=state.mark ^ int(step.argument, 16))
        if step.op == "masquerade":
            return replace(state, masquerade=True)
        if step.op == "update":
            learnt = (step.argument, self._packed(step.key, state))
            return replace(state, learnt=(*state.learnt, learnt))
        return None

    def _matches(self, step: Step, state: _State) -> bool:
        if step.op.startswith("ct "):
            # `ct state new` always holds for the first packet; `ct status dnat` once it is so.
            return step.argument == "new" or state.translated is not None
        if step.op == "local":
            ip = state.packet.source if step.argument == "saddr" else state.destination
            return self.host.owns(ip)
        if step.op == "marked":
            return bool(state.mark & int(step.argument, 16))
        if step.op == "interface":
            return _named(step.argument, state.packet.interface) != step.negated
        if step.op == "in set":
            return self._in_set(step, state) != step.negated
        return any(self._equals(step, value, state) for value, _ in step.values) != step.negated

    def _equals(self, step: Step, value: str, state: _State) -> bool:
        words = value.split(" . ")
        return all(
            _covers(word, wanted, self._value(word, state))
            for word, wanted in zip(step.key, words, strict=True)
        )

    def _in_set(self, step: Step, state: _State) -> bool:
        spec = self.table.sets[step.argument]
        key = self._packed(step.key, state)
        if spec.dynamic:
            return key in self.memory.get(step.argument, frozenset())
        elements = self.table.elements.get(step.argument, {})
        if not spec.interval:
            return key in elements
        return any(_within(spec.fields, one.key, one.key_end, key) for one in elements.values())

    def _vmap(self, step: Step, state: _State) -> str:
        if step.op == "vmap inline":
            found = [v for key, v in step.values if self._equals(step, key, state)]
            return found[0] if found else "missed"
        fields = self.table.sets[step.argument].fields
        words = " . ".join(unpack(fields, self._packed(step.key, state)))
        return self.table.verdicts.get(step.argument, {}).get(words, "missed")

    def _dnat(self, step: Step, state: _State) -> tuple[str, _State]:
        """A destination NAT ends the walk through this hook's nat chains."""
        if step.op == "dnat":
            ip, _, port = step.argument.rpartition(":")
            return "accept", replace(state, translated=(ip.strip("[]"), int(port)))
        elements = self.table.elements.get(step.argument, {})
        found = elements.get(self._packed(step.key, state))
        if found is None:
            return "missed", state
        words = unpack(self.table.sets[step.argument].data_fields, found.data)
        return "accept", replace(state, translated=(words[0], int(words[1])))

    def _packed(self, key: tuple[Word, ...], state: _State) -> bytes:
        return b"".join(pack_field(word.kind, self._value(word, state)) for word in key)

    def _value(self, word: Word, state: _State) -> str:
        if word.what == "numgen":
            return str(dict(state.chance)["numgen"])
        return {
            "daddr": state.destination,
            "saddr": state.packet.source,
            "l4proto": state.packet.protocol,
            "dport": str(state.port),
        }[word.what]


def _path(verdict: str, state: _State) -> Path:
    if verdict == "drop":
        outcome = DROP
    elif verdict == "reject":
        outcome = REJECT
    elif state.translated:
        outcome = Outcome("to", *state.translated, masquerade=state.masquerade)
    else:
        outcome = PASS
    return Path(outcome, state.learnt, state.rules)


def _priority(found: re.Match[str]) -> int:
    base = _PRIORITIES[found[3]] if found[3] in _PRIORITIES else int(found[3])
    return base + (int(found[5]) if found[4] == "+" else -int(found[5] or 0))


def _named(pattern: str, name: str) -> bool:
    if pattern.endswith("*"):
        return bool(name) and name.startswith(pattern[:-1])
    return name == pattern


def _covers(word: Word, wanted: str, value: str) -> bool:
    if "/" in wanted:
        address = ipaddress.ip_address(value)
        return address in ipaddress.ip_network(wanted)
    if word.kind in ("ipv4_addr", "ipv6_addr"):
        return ipaddress.ip_address(wanted) == ipaddress.ip_address(value)
    return wanted == value


def _within(fields: tuple[str, ...], low: bytes, high: bytes, key: bytes) -> bool:
    start = 0
    for kind in fields:
        end = start + field_size(kind)
        if not low[start:end] <= key[start:end] <= high[start:end]:
            return False
        start = end
    return True
