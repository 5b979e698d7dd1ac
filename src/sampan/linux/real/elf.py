"""A compiled BPF object as data: programs, maps, and where programs name maps (ELF64, little
endian, legacy map definitions).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

SYMBOL_TABLE, RELOCATIONS = 2, 9
MAP_DEFINITION = struct.Struct("<5I")


class MapDefinition(NamedTuple):
    """As `struct map_def` in the source."""

    kind: int
    key_size: int
    value_size: int
    max_entries: int
    flags: int


class Program(NamedTuple):
    """Instructions, and the offsets of those that must get a map's descriptor."""

    code: bytes
    maps: tuple[tuple[int, str], ...]


class Object(NamedTuple):
    """`programs` by the section's last word, `connect4`; `maps` by name."""

    programs: dict[str, Program]
    maps: dict[str, MapDefinition]
    license: str


class _Section(NamedTuple):
    name: str
    kind: int
    data: bytes
    link: int
    info: int


def read(image: bytes) -> Object:
    """Raises ValueError for anything that is no such object."""
    if image[:6] != b"\x7fELF\x02\x01":
        raise ValueError("not a little-endian ELF64 file")
    sections = _sections(image)
    table = next(one for one in sections if one.kind == SYMBOL_TABLE)
    names = sections[table.link].data
    symbols = [
        struct.unpack_from("<IBBHQQ", table.data, at) for at in range(0, len(table.data), 24)
    ]
    maps: dict[str, MapDefinition] = {}
    for name, _, _, index, value, _ in symbols:
        if 0 < index < len(sections) and sections[index].name == "maps":
            definition = MAP_DEFINITION.unpack_from(sections[index].data, value)
            maps[_text(names, name)] = MapDefinition(*definition)
    programs = {}
    for index, section in enumerate(sections):
        if section.name.startswith("cgroup/"):
            found = [one for one in sections if one.kind == RELOCATIONS and one.info == index]
            links = []
            for one in found:
                for at in range(0, len(one.data), 16):
                    offset, info = struct.unpack_from("<QQ", one.data, at)
                    links.append((offset, _text(names, symbols[info >> 32][0])))
            programs[section.name.partition("/")[2]] = Program(section.data, tuple(links))
    terms = next((one.data for one in sections if one.name == "license"), b"\0")
    return Object(programs, maps, terms.rstrip(b"\0").decode())


def _sections(image: bytes) -> list[_Section]:
    (offset,) = struct.unpack_from("<Q", image, 0x28)
    size, count, strings = struct.unpack_from("<HHH", image, 0x3A)
    heads = [struct.unpack_from("<IIQQQQIIQQ", image, offset + size * n) for n in range(count)]
    names = image[heads[strings][4] : heads[strings][4] + heads[strings][5]]
    return [
        _Section(
            _text(names, head[0]), head[1], image[head[4] : head[4] + head[5]], head[6], head[7]
        )
        for head in heads
    ]


def _text(table: bytes, at: int) -> str:
    return table[at : table.index(b"\0", at)].decode()
