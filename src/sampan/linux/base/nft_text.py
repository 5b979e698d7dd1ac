"""nft's language, as far as our own rules use it: tables as values, to text and back.

The text is what `nft list table` prints, so what we render, what the kernel holds and what an
administrator reads can be compared word by word.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from sampan.linux.base.nft import Element, pack, pack_field, unpack, unpack_range

_TYPEOF = {
    "daddr": "addr",
    "saddr": "addr",
    "l4proto": "inet_proto",
    "dport": "inet_service",
    "numgen": "integer",
}


@dataclass(frozen=True, slots=True)
class SetSpec:
    """A set or map; `spec` is its `type` or `typeof` line."""

    kind: str
    spec: str
    flags: str = ""
    timeout: str = ""
    size: int = 0
    comment: str = ""

    @property
    def fields(self) -> tuple[str, ...]:
        """The types of the key's fields."""
        return _fields(self.spec.partition(" : ")[0])

    @property
    def data_fields(self) -> tuple[str, ...]:
        """The types of the data's fields; `verdict` for a verdict map, nothing for a set."""
        word, _, rest = self.spec.partition(" ")
        data = rest.partition(" : ")[2]
        return _fields(f"{word} {data}") if data else ()

    @property
    def interval(self) -> bool:
        return "interval" in self.flags

    @property
    def dynamic(self) -> bool:
        return "dynamic" in self.flags


@dataclass(frozen=True, slots=True)
class ChainSpec:
    """A chain; `hook` is the line that makes it a base chain."""

    rules: tuple[str, ...]
    hook: str = ""
    comment: str = ""


@dataclass(slots=True)
class Table:
    """A table with all that is in it. `verdicts` are the elements of verdict maps, as text."""

    family: str
    name: str
    comment: str = ""
    sets: dict[str, SetSpec] = field(default_factory=dict)
    chains: dict[str, ChainSpec] = field(default_factory=dict)
    elements: dict[str, dict[bytes, Element]] = field(default_factory=dict)
    verdicts: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def head(self) -> str:
        return f"{self.family} {self.name}"


def _fields(text: str) -> tuple[str, ...]:
    word, _, rest = text.partition(" ")
    parts = rest.split(" . ")
    if word == "type":
        return tuple(part.strip() for part in parts)
    return tuple(_typeof(part.split()) for part in parts)


def _typeof(words: list[str]) -> str:
    if words[0] == "numgen":
        return "integer"
    kind = _TYPEOF[words[-1]]
    if kind == "addr":
        return "ipv6_addr" if words[0] == "ip6" else "ipv4_addr"
    return kind


# To text.


def text(table: Table, *, elements: bool = True) -> str:
    """The table as `nft list table` prints it, elements in order of their keys."""
    blocks = [
        *(_set_text(table, name, spec, elements) for name, spec in table.sets.items()),
        *(_chain_text(name, spec) for name, spec in table.chains.items()),
    ]
    comment = f'\tcomment "{table.comment}"\n' if table.comment else ""
    return f"table {table.head} {{\n{comment}" + "\n\n".join(blocks) + "\n}\n"


def _set_text(table: Table, name: str, spec: SetSpec, elements: bool) -> str:
    lines = [f"\t{spec.kind} {name} {{", *(f"\t\t{line}" for line in _declaration(spec))]
    words = list(element_words(table, name)) if elements else []
    if words:
        lines.append("\t\telements = { " + ",\n\t\t\t     ".join(words) + " }")
    return "\n".join([*lines, "\t}"])


def _declaration(spec: SetSpec) -> Iterator[str]:
    yield spec.spec
    if spec.size:
        yield f"size {spec.size}"
    if spec.flags:
        yield f"flags {spec.flags}"
    if spec.timeout:
        yield f"timeout {spec.timeout}"
    if spec.comment:
        yield f'comment "{spec.comment}"'


def _chain_text(name: str, spec: ChainSpec) -> str:
    lines = [f"\tchain {name} {{"]
    if spec.comment:
        lines.append(f'\t\tcomment "{spec.comment}"')
    if spec.hook:
        lines.append(f"\t\t{spec.hook}")
    return "\n".join([*lines, *(f"\t\t{rule}" for rule in spec.rules), "\t}"])


def element_words(table: Table, name: str) -> Iterator[str]:
    """The elements of a set as nft writes them."""
    spec = table.sets[name]
    if "verdict" in spec.data_fields:
        for key, verdict in sorted(table.verdicts.get(name, {}).items()):
            yield f"{key} : {verdict}"
        return
    for _, element in sorted(table.elements.get(name, {}).items()):
        yield element_word(spec, element)


def element_word(spec: SetSpec, element: Element) -> str:
    """One element: `10.0.0.1 . tcp . 80 : 10.244.1.2 . 8080`."""
    words = (
        unpack_range(spec.fields, element) if spec.interval else unpack(spec.fields, element.key)
    )
    key = " . ".join(words)
    return f"{key} : {' . '.join(unpack(spec.data_fields, element.data))}" if element.data else key


# From text.

_BLOCK = re.compile(r"(set|map|chain) (\S+) \{")


def parse(listing: str) -> list[Table]:
    """The tables of a listing or of a script in the same form."""
    tables: list[Table] = []
    lines = iter(listing.splitlines())
    for raw in lines:
        line = raw.strip()
        if line.startswith("table "):
            _, family, name, _ = line.split()
            tables.append(_parse_table(Table(family, name), lines))
    return tables


def _parse_table(table: Table, lines: Iterator[str]) -> Table:
    for raw in lines:
        line = raw.strip()
        block = _BLOCK.match(line)
        if line == "}":
            break
        if line.startswith("comment "):
            table.comment = _unquoted(line)
        elif block and block[1] == "chain":
            table.chains[block[2]] = _parse_chain(_body(lines))
        elif block:
            _parse_set(table, block[1], block[2], list(_body(lines)))
    return table


def _body(lines: Iterator[str]) -> Iterator[str]:
    """The stripped lines up to the brace that closes the block, elements joined to one line."""
    pending = ""
    for raw in lines:
        line = raw.strip()
        if line == "}" and not pending:
            return
        if pending or line.startswith("elements = {"):
            pending = f"{pending} {line}".strip()
            if not line.endswith("}"):
                continue
            line, pending = pending, ""
        if line:
            yield line


def _parse_chain(body: Iterable[str]) -> ChainSpec:
    hook = comment = ""
    rules: list[str] = []
    for line in body:
        if line.startswith("type ") and " hook " in line:
            hook = line
        elif line.startswith("comment ") and not rules:
            comment = _unquoted(line)
        else:
            rules.append(line)
    return ChainSpec(tuple(rules), hook, comment)


def _parse_set(table: Table, kind: str, name: str, body: list[str]) -> None:
    values = {"spec": "", "flags": "", "timeout": "", "comment": ""}
    size, elements = 0, ""
    for line in body:
        word, _, rest = line.partition(" ")
        if word in ("type", "typeof"):
            values["spec"] = line.rstrip(";")
        elif word == "size":
            size = int(rest)
        elif word == "comment":
            values["comment"] = _unquoted(line)
        elif word in ("flags", "timeout"):
            values[word] = rest
        elif word == "elements":
            elements = line
    spec = SetSpec(
        kind, values["spec"], values["flags"], values["timeout"], size, values["comment"]
    )
    table.sets[name] = spec
    if elements:
        add_elements(table, name, elements.partition("{")[2].rpartition("}")[0])


def add_elements(table: Table, name: str, words: str) -> None:
    """Put elements written in nft's words into a table."""
    spec = table.sets[name]
    for item in words.split(","):
        key, _, data = item.strip().partition(" : ")
        if not key:
            continue
        if "verdict" in spec.data_fields:
            table.verdicts.setdefault(name, {})[key] = data
        else:
            element = read_element(spec, key, data)
            table.elements.setdefault(name, {})[element.key] = element


def read_element(spec: SetSpec, key: str, data: str = "") -> Element:
    """An element from its words."""
    packed = pack(spec.fields, key.split(" . "))
    value = b""
    if data:
        pairs = zip(spec.data_fields, data.split(" . "), strict=True)
        value = b"".join(pack_field(kind, word) for kind, word in pairs)
    return Element(packed.key, value, packed.key_end if spec.interval else b"")


def _unquoted(line: str) -> str:
    return line.partition(" ")[2].strip().strip('"')


# From one table to another.


@dataclass(frozen=True, slots=True)
class Script:
    """What makes new objects and refills changed chains, and what takes the old ones away
    (a transaction later: older kernels count a reference until then).
    """

    first: tuple[str, ...] = ()
    last: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.first or self.last)


def difference(old: Table, new: Table) -> Script:
    """Commands that turn the objects of one table into those of another, elements of data sets
    apart; base chains must be the same.
    """
    first: list[str] = []
    for name, spec in new.sets.items():
        if old.sets.get(name) != spec:
            inner = " ".join(f"{line};" for line in _declaration(spec))
            first.append(f"add {spec.kind} {new.head} {name} {{ {inner} }}")
    fresh = [name for name, spec in new.chains.items() if old.chains.get(name) != spec]
    first += [
        f"add chain {new.head} {name}{_chain_comment(new.chains[name])}"
        for name in fresh
        if name not in old.chains
    ]
    for name in fresh:
        if name in old.chains:
            first.append(f"flush chain {new.head} {name}")
        first += [f"add rule {new.head} {name} {rule}" for rule in new.chains[name].rules]
    first += _verdict_changes(old, new)
    gone = [name for name in old.chains if name not in new.chains]
    last = [f"flush chain {old.head} {name}" for name in gone]
    last += [f"delete chain {old.head} {name}" for name in gone]
    last += [
        f"delete {spec.kind} {old.head} {name}"
        for name, spec in old.sets.items()
        if name not in new.sets
    ]
    return Script(tuple(first), tuple(last))


def _chain_comment(spec: ChainSpec) -> str:
    return f' {{ comment "{spec.comment}"; }}' if spec.comment else ""


def _verdict_changes(old: Table, new: Table) -> Iterator[str]:
    for name in {**old.verdicts, **new.verdicts}:
        before, after = old.verdicts.get(name, {}), new.verdicts.get(name, {})
        for key in before:
            if after.get(key) != before[key]:
                yield f"delete element {new.head} {name} {{ {key} }}"
        for key, verdict in after.items():
            if before.get(key) != verdict:
                yield f"add element {new.head} {name} {{ {key} : {verdict} }}"
