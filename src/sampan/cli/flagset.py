"""Flags of a part in the manner of upstream's components: `--name value`, `--name=value`, switches
with `=true` and `=false`, dashes or underscores in names.

A part's flags are two literal tables. `TABLE` is what has an effect:

    = Serving
    bind-address | ip | 0.0.0.0 | address to listen on

`IGNORED` is what upstream has besides, `name kind default` a line: taken without effect, and said
so.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

SHORT = {"v": "v", "h": "help"}
UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
BOOLEANS = {
    **dict.fromkeys(("true", "TRUE", "True", "t", "T", "1"), True),
    **dict.fromkeys(("false", "FALSE", "False", "f", "F", "0"), False),
}


class BadFlag(ValueError):
    """One line, in upstream's words where upstream has them."""


class Flag(NamedTuple):
    """`kind` is a key of KINDS; `default` is text, as it would be given."""

    name: str
    kind: str
    default: str
    text: str
    section: str


@dataclass(slots=True)
class Given:
    """Every flag's value by name; `ignored` are those named that have no effect."""

    values: dict[str, Any]
    named: set[str] = field(default_factory=set)
    ignored: list[str] = field(default_factory=list)

    def __getitem__(self, name: str) -> Any:
        return self.values[name]


class FlagSet:
    """The flags of one part."""

    def __init__(self, program: str, about: str, table: str, ignored: str) -> None:
        self.program, self.about = program, about
        self.flags = {flag.name: flag for flag in _rows(table)}
        rows = sorted(line.split() for line in ignored.splitlines() if line.strip())
        self.ignored = {name: kind for name, kind, *_ in rows}
        self.in_vain = [
            Flag(name, kind, default[0] if default else "", "", "") for name, kind, *default in rows
        ]

    def parse(self, argv: Sequence[str]) -> Given:
        """Raises BadFlag."""
        given = Given({name: _default(flag) for name, flag in self.flags.items()})
        rest = list(argv)
        while rest:
            word = rest.pop(0)
            if word == "--" or not word.startswith("-") or word == "-":
                extra = rest if word == "--" else [word, *rest]
                if not extra:
                    break
                raise BadFlag(f"takes no arguments, got {extra}")
            name, kind, value = self._split(word, rest)
            self._take(given, name, kind, value)
        return given

    def _split(self, word: str, rest: list[str]) -> tuple[str, str, str]:
        """The flag's name, its kind and the text of its value, which may be the next word."""
        name, equals, value = word.lstrip("-").partition("=")
        if not word.startswith("--"):
            if name[:1] not in SHORT:
                raise BadFlag(f"unknown shorthand flag: {name[:1]!r} in {word}")
            glued = name[1:]
            name = SHORT[name[0]]
            if glued and not equals:
                equals, value = "=", glued
        name = name.replace("_", "-")
        if name in self.flags:
            kind = self.flags[name].kind
        elif name in self.ignored:
            kind = self.ignored[name]
        else:
            raise BadFlag(f"unknown flag: --{name}")
        if not equals:
            if kind in SWITCHES:
                value = "true"
            elif not rest:
                raise BadFlag(f"flag needs an argument: --{name}")
            else:
                value = rest.pop(0)
        return name, kind, value

    def _take(self, given: Given, name: str, kind: str, text: str) -> None:
        try:
            value = KINDS[kind](text)
        except ValueError as error:
            raise BadFlag(f'invalid argument "{text}" for "--{name}" flag: {error}') from error
        if name in self.ignored:
            given.ignored.append(name)
            given.values[name] = value
            return
        if name in given.named and kind in GROWING:
            value = GROWING[kind](given.values[name], value)
        given.values[name] = value
        given.named.add(name)

    def help(self) -> str:
        """Every flag with its default, section by section, as wide as the terminal."""
        import shutil

        width = max(80, min(160, shutil.get_terminal_size((100, 24)).columns))
        parts = [f"{self.about}\n\nUsage:\n  {self.program} [flags]"]
        for section in dict.fromkeys(flag.section for flag in self.flags.values()):
            rows = [_shown(f, width) for f in self.flags.values() if f.section == section]
            parts.append("\n".join([f"{section}:", *rows]))
        if self.in_vain:
            rows = [_shown(flag, width) for flag in self.in_vain]
            parts.append("\n".join(["Accepted as upstream's, without effect:", *rows]))
        return "\n\n".join(parts) + "\n"


def no_effect(given: Given) -> str:
    """One line about the flags that were named in vain; empty where there are none."""
    names = ", ".join(dict.fromkeys("--" + name for name in given.ignored))
    return f"without effect here: {names}" if names else ""


def shown(value: object) -> str:
    """A flag's value as /flagz tells it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "[" + ",".join(map(str, value)) + "]"
    if isinstance(value, dict):
        return ",".join(f"{name}={item}" for name, item in value.items())
    return str(value)


# -- values


def duration(text: str) -> float:
    """Go's way to write one, in seconds: `1h30m`, `250ms`, `0`. Raises ValueError."""
    if text == "0":
        return 0.0
    parts = re.findall(r"(\d+(?:\.\d*)?|\.\d+)(h|ms|us|µs|ns|m|s)", text.lstrip("-"))
    if not parts or "".join(a + b for a, b in parts) != text.removeprefix("-"):
        raise ValueError("no duration such as 40s or 1m30s")
    total = sum(float(number) * UNITS[unit] for number, unit in parts)
    return -total if text.startswith("-") else total


def _boolean(text: str) -> bool:
    if text not in BOOLEANS:
        raise ValueError("true or false is wanted")
    return BOOLEANS[text]


def _number(text: str) -> int:
    if not re.fullmatch(r"[+-]?\d+", text):
        raise ValueError("a whole number is wanted")
    return int(text)


def _address(text: str) -> str:
    if text:
        ipaddress.ip_address(text)
    return text


def _version(text: str) -> bool:
    """`raw` asks for it in another form."""
    return text == "raw" or _boolean(text)


def _words(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _pairs(text: str) -> dict[str, str]:
    found = {}
    for part in _words(text):
        name, equals, value = part.partition("=")
        if not equals:
            raise ValueError(f"missing value for {name}: name=value is wanted")
        found[name] = value
    return found


def _gates(text: str) -> dict[str, str]:
    found = _pairs(text)
    for name, value in found.items():
        if value not in BOOLEANS:
            raise ValueError(f"invalid value of {name}={value}: true or false is wanted")
    return found


KINDS: Mapping[str, Callable[[str], Any]] = {
    "bool": _boolean,
    "string": str,
    "int": _number,
    "float": float,
    "ip": _address,
    "duration": duration,
    "list": _words,
    "array": lambda text: (text,) if text else (),
    "map": _pairs,
    "gates": _gates,
    # Of kube-proxy, in the words of its help.
    "int32": _number,
    "float32": float,
    "Level": _number,
    "strings": _words,
    "mapStringBool": _gates,
    "version[=true]": _version,
    **dict.fromkeys(("ipport", "LocalMode", "ProxyMode", "quantity", "pattern=N,..."), str),
}
SWITCHES = frozenset({"bool", "version[=true]"})
"""Kinds whose value may be left out."""
EMPTY: Mapping[str, Any] = {
    **dict.fromkeys(SWITCHES, False),
    **dict.fromkeys(("int", "int32", "Level"), 0),
    "duration": 0.0,
}
"""What a flag without a default is; of all other kinds, what an empty text is."""
GROWING: Mapping[str, Callable[[Any, Any], Any]] = {
    "list": lambda old, new: (*old, *new),
    "array": lambda old, new: (*old, *new),
    "map": lambda old, new: {**old, **new},
    "strings": lambda old, new: (*old, *new),
    "mapStringBool": lambda old, new: {**old, **new},
}
"""Kinds that may be given again: what comes later is added."""


def _default(flag: Flag) -> Any:
    if not flag.default and flag.kind in EMPTY:
        return EMPTY[flag.kind]
    return KINDS[flag.kind](flag.default)


# -- tables and help


def _rows(table: str) -> list[Flag]:
    rows, section = [], ""
    for line in filter(None, map(str.strip, table.splitlines())):
        if line.startswith("="):
            section = line.lstrip("= ")
            continue
        name, kind, default, text = (part.strip() for part in line.split("|", 3))
        rows.append(Flag(name, kind, default, text, section))
    return rows


def _shown(flag: Flag, width: int) -> str:
    import textwrap

    kind = "" if flag.kind == "bool" else f" {flag.kind}"
    short = next((f"-{key}, " for key, name in SHORT.items() if name == flag.name), "    ")
    quote = '"' if flag.kind == "string" else ""
    default = f" (default {quote}{flag.default}{quote})" if flag.default else ""
    head = f"  {short}--{flag.name}{kind}"
    text = (flag.text + default).strip()
    body = textwrap.wrap(text, width - 44, break_long_words=False, break_on_hyphens=False) or [""]
    pad = " " * 42
    if not any(body):
        return head
    if len(head) < 41:
        return "\n".join([head.ljust(42) + body[0], *(pad + line for line in body[1:])])
    return "\n".join([head, *(pad + line for line in body)])
