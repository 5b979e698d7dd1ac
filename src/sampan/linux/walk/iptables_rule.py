"""Rules of iptables-save text as options that a walker can test."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import NamedTuple

_NO_VALUE = {"--reap", "--rsource", "--random-fully", "--rcheck", "--set"}
_MEANINGLESS = {"-m", "--comment", "--mask", "--reject-with", "--rsource", "--reap", "--mode"}


class Option(NamedTuple):
    """`name` is the option with its dashes."""

    name: str
    value: str
    negated: bool


class Rule(NamedTuple):
    """Conditions and the target; `target` is empty for a rule that only counts."""

    chain: str
    options: tuple[Option, ...]
    target: str
    arguments: tuple[Option, ...]
    text: str

    def argument(self, name: str) -> str:
        return next((one.value for one in self.arguments if one.name == name), "")


_ARGUMENTS = {"--to-destination", "--set-xmark", "--random-fully"}


def read(line: str) -> Rule:
    """One `-A` line."""
    chain, target = "", ""
    options, arguments = [], []
    for one in _options(line):
        if one.name == "-A":
            chain = one.value
        elif one.name == "-j":
            target = one.value
        elif one.name in _ARGUMENTS:
            arguments.append(one)
        elif one.name not in _MEANINGLESS:
            options.append(one)
    return Rule(chain, tuple(options), target, tuple(arguments), line)


def _options(line: str) -> Iterator[Option]:
    words = shlex.split(line)
    negated = False
    index = 0
    while index < len(words):
        word = words[index]
        index += 1
        if word == "!":
            negated = True
            continue
        value = ""
        if word not in _NO_VALUE and index < len(words):
            value = words[index]
            index += 1
        if word == "--match-set":
            # Its second word says which parts of the packet are looked up: all of the entry.
            index += 1
        yield Option(word, value, negated)
        negated = False


def tables(saved: str) -> dict[str, dict[str, tuple[Rule, ...]]]:
    """Tables and chains of iptables-save text."""
    found: dict[str, dict[str, list[Rule]]] = {}
    table = ""
    for line in saved.splitlines():
        if line.startswith("*"):
            table = line[1:].strip()
            found[table] = {}
        elif line.startswith(":"):
            found[table].setdefault(line[1:].split()[0], [])
        elif line.startswith("-A "):
            rule = read(line)
            found[table].setdefault(rule.chain, []).append(rule)
    return {
        name: {chain: tuple(rules) for chain, rules in chains.items()}
        for name, chains in found.items()
    }
