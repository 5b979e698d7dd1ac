"""Rules of nft's language as steps that a walker can take: the part of the language that our own
tables use, read from the text that `nft list` prints.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_TOKEN = re.compile(r'"[^"]*"|\{|\}|,|[^\s{},]+')
_VERDICTS = ("accept", "drop", "reject", "return")
_PRIMARIES = {
    ("ip", "daddr"): "ipv4_addr",
    ("ip", "saddr"): "ipv4_addr",
    ("ip6", "daddr"): "ipv6_addr",
    ("ip6", "saddr"): "ipv6_addr",
    ("meta", "l4proto"): "inet_proto",
    ("th", "dport"): "inet_service",
}


class NotUnderstood(ValueError):
    """A rule outside the part of the language that the walker knows."""


class Word(NamedTuple):
    """One part of a key: `what` is `daddr`, `saddr`, `l4proto`, `dport` or `numgen`."""

    what: str
    kind: str
    modulus: int = 0


class Step(NamedTuple):
    """One condition or statement: `op` names it, the rest depends on it."""

    op: str
    key: tuple[Word, ...] = ()
    argument: str = ""
    values: tuple[tuple[str, str], ...] = ()
    negated: bool = False


def steps(rule: str) -> tuple[Step, ...]:
    """The steps of a rule, in order. Raises NotUnderstood."""
    tokens = _TOKEN.findall(rule)
    found = []
    reader = _Reader(tokens, rule)
    while reader.rest:
        step = reader.step()
        if step.op != "comment":
            found.append(step)
    return tuple(found)


class _Reader:
    """Takes tokens from the left."""

    def __init__(self, tokens: list[str], rule: str) -> None:
        self.rest = tokens
        self._rule = rule

    def step(self) -> Step:
        word = self.rest[0]
        if word in _VERDICTS:
            return Step(self._take())
        if word in ("jump", "goto"):
            return Step(self._take(), argument=self._take())
        special = {
            "comment": self._comment,
            "ct": self._conntrack,
            "fib": self._fib,
            "iifname": self._interface,
            "update": self._update,
            "masquerade": self._masquerade,
            "dnat": self._dnat,
        }.get(word)
        if special is not None:
            return special()
        if self.rest[:2] == ["meta", "mark"]:
            return self._mark()
        return self._match()

    def _take(self, *wanted: str) -> str:
        if not self.rest:
            raise NotUnderstood(f"{self._rule!r} ends too early")
        word = self.rest.pop(0)
        if wanted and word not in wanted:
            raise NotUnderstood(f"{self._rule!r}: {word!r} where {wanted} should be")
        return word

    def _comment(self) -> Step:
        self._take("comment")
        return Step("comment", argument=self._take())

    def _conntrack(self) -> Step:
        self._take("ct")
        what = self._take("state", "status")
        return Step("ct " + what, argument=self._take())

    def _fib(self) -> Step:
        self._take("fib")
        what = self._take("saddr", "daddr")
        self._take("type")
        self._take("local")
        return Step("local", argument=what)

    def _interface(self) -> Step:
        self._take("iifname")
        negated = self._negated()
        return Step("interface", argument=self._take().strip('"'), negated=negated)

    def _update(self) -> Step:
        self._take("update")
        name = self._take().lstrip("@")
        self._take("{")
        key = self._key()
        self._take("}")
        return Step("update", key, name)

    def _masquerade(self) -> Step:
        self._take("masquerade")
        if self.rest[:1] == ["fully-random"]:
            self._take()
        return Step("masquerade")

    def _dnat(self) -> Step:
        self._take("dnat")
        if self.rest[0] in ("ip", "ip6"):
            self._take()
        self._take("to")
        if tuple(self.rest[:2]) in _PRIMARIES:
            key = self._key()
            self._take("map")
            return Step("dnat map", key, self._take().lstrip("@"))
        return Step("dnat", argument=self._take())

    def _mark(self) -> Step:
        self._take("meta")
        self._take("mark")
        if self.rest[0] == "set":
            for word in ("set", "meta", "mark"):
                self._take(word)
            return Step("mark " + self._take("|", "^"), argument=self._take())
        self._take("&")
        bit = self._take()
        self._take("!=")
        self._take()
        return Step("marked", argument=bit)

    def _match(self) -> Step:
        key = self._key()
        negated = self._negated()
        if self.rest[0] == "vmap":
            self._take("vmap")
            if self.rest[0] == "{":
                return Step("vmap inline", key, values=self._pairs())
            return Step("vmap", key, self._take().lstrip("@"))
        if self.rest[0].startswith("@"):
            return Step("in set", key, self._take()[1:], negated=negated)
        if self.rest[0] == "{":
            return Step("in", key, values=self._pairs(), negated=negated)
        return Step("in", key, values=((self._take(), ""),), negated=negated)

    def _negated(self) -> bool:
        if self.rest[:1] == ["!="]:
            self._take()
            return True
        return False

    def _key(self) -> tuple[Word, ...]:
        words = [self._word()]
        while self.rest[:1] == ["."]:
            self._take(".")
            words.append(self._word())
        return tuple(words)

    def _word(self) -> Word:
        if self.rest[0] == "numgen":
            for word in ("numgen", "random", "mod"):
                self._take(word)
            return Word("numgen", "integer", int(self._take()))
        pair = (self._take(), self._take())
        if pair not in _PRIMARIES:
            raise NotUnderstood(f"{self._rule!r}: {' '.join(pair)}")
        return Word(pair[1], _PRIMARIES[pair])

    def _pairs(self) -> tuple[tuple[str, str], ...]:
        """`{ a : b, c }` as pairs; the second is empty without a colon."""
        self._take("{")
        pairs: list[tuple[str, str]] = []
        item: list[str] = []
        while True:
            word = self._take()
            if word in (",", "}"):
                key, _, value = " ".join(item).partition(" : ")
                pairs.append((key, value))
                item = []
                if word == "}":
                    return tuple(pairs)
            else:
                item.append(word)
