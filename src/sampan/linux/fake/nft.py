"""nftables in memory: tables as values, changed by the same scripts and elements as the kernel's.

It refuses what the kernel refuses: a reference to what is not there, an element that is taken, one
to delete that is absent; and a refused transaction changes nothing.
"""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Mapping, Sequence

from sampan.linux.base.nft import Element, Elements, NftError, SetRef, pack
from sampan.linux.base.nft_text import (
    ChainSpec,
    SetSpec,
    Table,
    add_elements,
    parse,
    read_element,
    text,
)

_INNER = re.compile(r"^(.*?)(?: \{ (.*) \})?$")


class FakeNft:
    """Implements `Nft`; `tables` is what the kernel would hold, `writes` how often it changed."""

    def __init__(self) -> None:
        self.tables: dict[tuple[str, str], Table] = {}
        self.writes = 0
        self.refuse = ""
        """A test's word: the next transaction fails with it."""
        self._watches: list[FakeWatch] = []

    def run(self, script: str) -> str:
        before = copy.deepcopy(self.tables)
        try:
            self._refused()
            for command in _commands(script):
                if command.startswith("table "):
                    for made in parse(command):
                        self._declare(made)
                else:
                    self._command(command)
        except NftError:
            self.tables = before
            raise
        self.writes += self.tables != before
        return ""

    def listing(self, family: str, table: str) -> str:
        found = self.tables.get((family, table))
        return text(found, elements=False) if found else ""

    def commit(self, delete: Elements, add: Elements) -> None:
        before = copy.deepcopy(self.tables)
        try:
            self._refused()
            for ref, elements in delete.items():
                held = self._set(ref)
                for one in elements:
                    if held.pop(one.key, None) is None:
                        raise NftError(f"No such file or directory: {ref.name} {one.key.hex()}")
            for ref, elements in add.items():
                held = self._set(ref)
                for one in elements:
                    if held.get(one.key, one) != one:
                        raise NftError(f"File exists: {ref.name} {one.key.hex()}")
                    held[one.key] = one
        except NftError:
            self.tables = before
            raise
        self.writes += 1

    def elements(
        self, ref: SetRef, guess: Mapping[bytes, Element] | None = None
    ) -> Mapping[bytes, Element]:
        table = self._table(ref.family, ref.table)
        spec = table.sets[ref.name]
        if "verdict" in spec.data_fields:
            verdicts = table.verdicts.get(ref.name, {}).items()
            packed = {pack(spec.fields, key.split(" . ")).key: word for key, word in verdicts}
            return {key: Element(key, word.encode()) for key, word in packed.items()}
        return dict(self._set(ref))

    def watch(self, tables: Sequence[tuple[str, str]]) -> FakeWatch:
        made = FakeWatch()
        self._watches.append(made)
        return made

    def meddle(self, script: str) -> None:
        """Somebody else's transaction."""
        writes = self.writes
        self.run(script)
        self.writes = writes
        for one in self._watches:
            one.touch()

    def _refused(self) -> None:
        if self.refuse:
            word, self.refuse = self.refuse, ""
            raise NftError(word)

    def _declare(self, made: Table) -> None:
        known = self.tables.setdefault((made.family, made.name), Table(made.family, made.name))
        known.comment = made.comment or known.comment
        known.sets.update(made.sets)
        known.chains.update(made.chains)
        for name, elements in made.elements.items():
            known.elements.setdefault(name, {}).update(elements)
        for name, verdicts in made.verdicts.items():
            known.verdicts.setdefault(name, {}).update(verdicts)
        for spec in made.chains.values():
            for rule in spec.rules:
                self._check(known, rule)

    def _command(self, command: str) -> None:
        verb, kind, *rest = command.split(" ", 3)
        if command == "flush ruleset":
            self.tables.clear()
            return
        if kind == "table":
            self._on_table(verb, (rest[0], rest[1]))
            return
        family = rest[0]
        name, _, tail = rest[1].partition(" ")
        table = self._table(family, name)
        handler = {
            "chain": self._on_chain,
            "rule": self._on_rule,
            "set": self._on_set,
            "map": self._on_set,
            "element": self._on_element,
        }[kind]
        handler(table, f"{verb} {kind}", tail)

    def _on_table(self, verb: str, key: tuple[str, str]) -> None:
        if verb == "add":
            self.tables.setdefault(key, Table(*key))
        elif verb == "delete":
            if key not in self.tables:
                raise NftError(f"No such file or directory: table {' '.join(key)}")
            del self.tables[key]

    def _on_chain(self, table: Table, verb: str, tail: str) -> None:
        name, inner = _split(tail)
        if verb == "add chain":
            comment = re.search(r'comment "(.*?)"', inner)
            table.chains.setdefault(name, ChainSpec((), comment=comment[1] if comment else ""))
            return
        spec = table.chains.get(name)
        if spec is None:
            raise NftError(f"No such file or directory: chain {name}")
        if verb == "flush chain":
            table.chains[name] = ChainSpec((), spec.hook, spec.comment)
            return
        if _used(table, rf"(?:jump|goto) {re.escape(name)}(?![\w-])"):
            raise NftError(f"Device or resource busy: chain {name}")
        del table.chains[name]

    def _on_rule(self, table: Table, _: str, tail: str) -> None:
        name, _, rule = tail.partition(" ")
        spec = table.chains.get(name)
        if spec is None:
            raise NftError(f"No such file or directory: chain {name}")
        self._check(table, rule)
        table.chains[name] = ChainSpec((*spec.rules, rule), spec.hook, spec.comment)

    def _on_set(self, table: Table, verb: str, tail: str) -> None:
        name, inner = _split(tail)
        if verb.startswith("add"):
            made = parse(_as_table(verb.split()[1], name, inner))[0].sets[name]
            if table.sets.setdefault(name, made) != made:
                raise NftError(f"File exists: {name}")
            return
        if name not in table.sets:
            raise NftError(f"No such file or directory: {name}")
        if verb.startswith("flush"):
            table.elements.pop(name, None)
            table.verdicts.pop(name, None)
            return
        if _used(table, rf"@{re.escape(name)}(?![\w-])"):
            raise NftError(f"Device or resource busy: {name}")
        del table.sets[name]
        table.elements.pop(name, None)
        table.verdicts.pop(name, None)

    def _on_element(self, table: Table, verb: str, tail: str) -> None:
        name, inner = _split(tail)
        if name not in table.sets:
            raise NftError(f"No such file or directory: {name}")
        if verb == "add element":
            add_elements(table, name, inner)
            return
        spec: SetSpec = table.sets[name]
        if "verdict" in spec.data_fields:
            gone: object = table.verdicts.get(name, {}).pop(inner, None)
        else:
            gone = table.elements.get(name, {}).pop(read_element(spec, inner).key, None)
        if gone is None:
            raise NftError(f"No such file or directory: {name} {inner}")

    def _check(self, table: Table, rule: str) -> None:
        """A rule may only name what is there."""
        for name in re.findall(r"@([\w-]+)", rule):
            if name not in table.sets:
                raise NftError(f"No such file or directory: set {name}")
        for name in re.findall(r"(?:jump|goto) ([\w-]+)", rule):
            if name not in table.chains:
                raise NftError(f"No such file or directory: chain {name}")

    def _table(self, family: str, name: str) -> Table:
        found = self.tables.get((family, name))
        if found is None:
            raise NftError(f"No such file or directory: table {family} {name}")
        return found

    def _set(self, ref: SetRef) -> dict[bytes, Element]:
        table = self._table(ref.family, ref.table)
        if ref.name not in table.sets:
            raise NftError(f"No such file or directory: set {ref.name}")
        return table.elements.setdefault(ref.name, {})


class FakeWatch:
    """Implements `Watch` by a pipe that turns readable when a test meddles."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)

    def fileno(self) -> int:
        return self._read

    def touch(self) -> None:
        if self._write >= 0:
            os.write(self._write, b"x")

    def foreign(self) -> bool:
        try:
            return bool(os.read(self._read, 4096))
        except BlockingIOError:
            return False

    def close(self) -> None:
        for descriptor in (self._read, self._write):
            if descriptor >= 0:
                os.close(descriptor)
        self._read = self._write = -1


def _commands(script: str) -> list[str]:
    """The commands of a script; a `table` block stays whole."""
    found: list[str] = []
    block: list[str] = []
    for line in script.splitlines():
        if block or line.startswith("table "):
            block.append(line)
            if line == "}":
                found.append("\n".join(block))
                block = []
        elif line.strip():
            found.append(line.strip())
    return found


def _split(tail: str) -> tuple[str, str]:
    found = _INNER.match(tail)
    return (found[1], found[2] or "") if found else (tail, "")


def _as_table(kind: str, name: str, inner: str) -> str:
    lines = "\n".join(f"\t\t{part.strip()}" for part in inner.split(";") if part.strip())
    return f"table ip x {{\n\t{kind} {name} {{\n{lines}\n\t}}\n}}\n"


def _used(table: Table, pattern: str) -> bool:
    rules = (rule for spec in table.chains.values() for rule in spec.rules)
    verdicts = (verdict for one in table.verdicts.values() for verdict in one.values())
    return any(re.search(pattern, word) for word in (*rules, *verdicts))
