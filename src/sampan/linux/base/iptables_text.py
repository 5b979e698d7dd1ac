"""iptables-save text: chains in and out, and scripts for iptables-restore. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

TABLES = ("mangle", "filter", "nat")
Chains = dict[tuple[str, str], tuple[str, ...]]
"""Rules by table and chain."""
Jump = tuple[str, str, str]
"""Table, built-in chain, and the rule without its `-A`."""


class Chain(NamedTuple):
    """A chain with its rules, each with its `-A`."""

    table: str
    name: str
    rules: tuple[str, ...]


def document(chains: Iterable[Chain], jumps: Iterable[Jump]) -> str:
    """All tables in iptables-save form: our chains, and the jumps to them."""
    by_table: dict[str, list[Chain]] = {table: [] for table in ("filter", "mangle", "nat")}
    for chain in chains:
        by_table[chain.table].append(chain)
    lines = []
    for table, some in by_table.items():
        led = [(name, rule) for where, name, rule in jumps if where == table]
        names = sorted({*(chain.name for chain in some), *(name for name, _ in led)})
        rules = {chain.name: chain.rules for chain in some}
        for name, rule in led:
            rules[name] = (*rules.get(name, ()), f"-A {name} {rule}")
        lines += [f"*{table}", *(f":{name} - [0:0]" for name in names)]
        lines += [rule for name in names for rule in rules[name]]
        lines.append("COMMIT")
    return "\n".join(lines) + "\n"


def parse(saved: str) -> Chains:
    """Every chain of iptables-save text with its rules."""
    found: dict[tuple[str, str], list[str]] = {}
    table = ""
    for line in saved.splitlines():
        if line.startswith("*"):
            table = line[1:].strip()
        elif line.startswith(":"):
            found.setdefault((table, line[1:].split()[0]), [])
        elif line.startswith("-A "):
            found.setdefault((table, line.split(" ", 2)[1]), []).append(line)
    return {where: tuple(rules) for where, rules in found.items()}


def script(
    write: Sequence[Chain], remove: Iterable[tuple[str, str]], jumps: Mapping[str, Sequence[str]]
) -> str:
    """A restore script that makes these chains anew, inserts jumps, and deletes chains."""
    gone: dict[str, list[str]] = {}
    for table, name in remove:
        gone.setdefault(table, []).append(name)
    lines = []
    for table in TABLES:
        some = [chain for chain in write if chain.table == table]
        dead, inserted = gone.get(table, []), jumps.get(table, ())
        if not (some or dead or inserted):
            continue
        lines.append(f"*{table}")
        lines += [f":{name} - [0:0]" for name in (*(chain.name for chain in some), *dead)]
        lines += inserted
        lines += [rule for chain in some for rule in chain.rules]
        lines += [f"-X {name}" for name in dead]
        lines.append("COMMIT")
    return "\n".join(lines) + "\n" if lines else ""


def missing_jumps(chains: Chains, jumps: Sequence[Jump]) -> dict[str, list[str]]:
    """Commands that insert the jumps that are not there, at the top and in their order."""
    found: dict[str, list[str]] = {}
    for table, name, rule in reversed(jumps):
        if f"-A {name} {rule}" not in chains.get((table, name), ()):
            found.setdefault(table, []).append(f"-I {name} 1 {rule}")
    return found


def jump_removals(chains: Chains, targets: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Commands that take the jumps to these chains (table, name) out of all others."""
    dead = set(targets)
    found: dict[str, list[str]] = {}
    for (table, name), rules in chains.items():
        if (table, name) in dead:
            continue
        for rule in rules:
            target = rule.rpartition("-j ")[2].split(" ")[0]
            if (table, target) in dead:
                found.setdefault(table, []).append(rule.replace("-A ", "-D ", 1))
    return found


def both(
    one: Mapping[str, Sequence[str]], two: Mapping[str, Sequence[str]]
) -> dict[str, list[str]]:
    """The commands of both, table by table."""
    return {table: [*one.get(table, ()), *two.get(table, ())] for table in {**one, **two}}


def packets(saved: str, words: str) -> float:
    """The packet counters of the rules that hold these words, in a listing with counters."""
    return sum(
        float(line[1:].partition(":")[0])
        for line in saved.splitlines()
        if line.startswith("[") and words in line
    )
