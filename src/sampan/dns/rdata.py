"""Record data as text and back (RFC 1035 section 5, RFC 3597 for what nobody knows).

Types that zone files rarely hold can be written in the generic form, `\\# LENGTH HEX`.
"""

from __future__ import annotations

import base64
import calendar
import contextlib
import socket
import struct
import time
from collections.abc import Callable, Sequence
from typing import NoReturn

from sampan.dns import codes, names, rdata_rare
from sampan.dns.message import Record


class BadData(ValueError):
    """The text is no data of that type."""


def text(record: Record) -> str:
    """The data as a zone file would write it."""
    show = _SHOW.get(record.type) or rdata_rare.SHOW.get(record.type)
    if not record.rdata:
        return ""
    if show:
        with contextlib.suppress(struct.error, names.BadName, IndexError):
            return show(record.rdata)
    return f"\\# {len(record.rdata)} {record.rdata.hex()}"


def line(record: Record) -> str:
    """The whole record on one line."""
    kind, cls = codes.type_name(record.type), codes.class_name(record.cls)
    return f"{record.name}\t{record.ttl}\t{cls}\t{kind}\t{text(record)}"


def from_words(kind: int, words: Sequence[str], origin: str = ".") -> bytes:
    """Data from a zone file's words; quoted ones keep their quotes. Raises BadData."""
    if words[:1] == ["\\#"]:
        return _generic(words[1:])
    read, rare = _READ.get(kind), rdata_rare.READ.get(kind)
    try:
        if read:
            return read(list(words), origin)
        if rare:
            return rare(list(words), lambda word: names.wire(absolute(word, origin)))
    except BadData:
        raise
    except (ValueError, IndexError, struct.error, OSError) as bad:
        raise BadData(f"bad {codes.type_name(kind)} data: {' '.join(words)}") from bad
    raise BadData(f"type {codes.type_name(kind)} has no text form here; write it as \\# LENGTH HEX")


def _generic(words: Sequence[str]) -> bytes:
    """A length and as many bytes in hexadecimal digits (RFC 3597)."""
    try:
        data, size = bytes.fromhex("".join(words[1:])), int(words[0])
    except (ValueError, IndexError) as bad:
        raise BadData(f"bad generic data: {' '.join(words)}") from bad
    if len(data) != size:
        raise BadData(f"bad generic data: {len(data)} bytes instead of {size}")
    return data


def absolute(name: str, origin: str) -> str:
    if name == "@":
        return origin
    if names.is_fqdn(name):
        return name
    return name + "." if origin == "." else f"{name}.{origin}"


# Reading

Reader = Callable[[list[str], str], bytes]


def address(kind: int, words: Sequence[str]) -> bytes:
    family = socket.AF_INET if kind == codes.A else socket.AF_INET6
    try:
        return socket.inet_pton(family, words[0])
    except OSError as bad:
        raise BadData(f'bad {codes.type_name(kind)} A: "{words[0]}"') from bad


def _read_a(words: list[str], origin: str) -> bytes:
    return address(codes.A, words)


def _read_aaaa(words: list[str], origin: str) -> bytes:
    return address(codes.AAAA, words)


def _read_name(words: list[str], origin: str) -> bytes:
    return names.wire(absolute(words[0], origin))


def _numbers(layout: str, words: Sequence[str]) -> bytes:
    return struct.pack(layout, *(int(w) for w in words))


def _read_mx(words: list[str], origin: str) -> bytes:
    return _numbers("!H", words[:1]) + _read_name(words[1:], origin)


def _read_srv(words: list[str], origin: str) -> bytes:
    return _numbers("!3H", words[:3]) + _read_name(words[3:], origin)


def _read_soa(words: list[str], origin: str) -> bytes:
    two = _read_name(words, origin) + _read_name(words[1:], origin)
    return two + struct.pack("!5I", int(words[2]), *(seconds(w) for w in words[3:7]))


def character_string(word: str) -> bytes:
    """A word or a quoted string, escapes resolved, with its length in front."""
    raw = word[1:-1] if len(word) > 1 and word[0] == word[-1] == '"' else word
    out, pos = bytearray(), 0
    while pos < len(raw):
        if raw[pos] == "\\" and pos + 3 < len(raw) and raw[pos + 1 : pos + 4].isdigit():
            out.append(int(raw[pos + 1 : pos + 4]) & 255)
            pos += 4
            continue
        if raw[pos] == "\\":
            pos += 1
        out += raw[pos : pos + 1].encode("utf-8", "surrogateescape")
        pos += 1
    if len(out) > 255:
        raise BadData(f"string is longer than 255 bytes: {word[:20]}...")
    return bytes((len(out),)) + bytes(out)


def _read_txt(words: list[str], origin: str) -> bytes:
    if not words:
        raise BadData("bad TXT data: empty")
    return b"".join(character_string(w) for w in words)


def _read_caa(words: list[str], origin: str) -> bytes:
    return bytes((int(words[0]),)) + character_string(words[1]) + character_string(words[2])[1:]


def _read_ds(words: list[str], origin: str) -> bytes:
    return _numbers("!HBB", words[:3]) + bytes.fromhex("".join(words[3:]))


def _read_dnskey(words: list[str], origin: str) -> bytes:
    return _numbers("!HBB", words[:3]) + base64.b64decode("".join(words[3:]))


def _read_naptr(words: list[str], origin: str) -> bytes:
    strings = b"".join(character_string(w) for w in words[2:5])
    return _numbers("!HH", words[:2]) + strings + _read_name(words[5:], origin)


def _read_nsec(words: list[str], origin: str) -> bytes:
    types = [codes.type_number(word) for word in words[1:]]
    if None in types:
        raise BadData(f"bad NSEC data: {' '.join(words)}")
    return _read_name(words, origin) + bitmap_wire([t for t in types if t is not None])


def _read_rrsig(words: list[str], origin: str) -> bytes:
    covered = codes.type_number(words[0])
    if covered is None:
        raise BadData(f"bad RRSIG data: {words[0]}")
    numbers = (covered, *(int(word) for word in words[1:4]), _time(words[4]), _time(words[5]))
    head = struct.pack("!HBBIII", *numbers) + struct.pack("!H", int(words[6]))
    return head + _read_name(words[7:], origin) + base64.b64decode("".join(words[8:]))


def _time(word: str) -> int:
    """Seconds since 1970, or `20261120203000`."""
    if len(word) != 14:
        return int(word)
    fields = time.strptime(word, "%Y%m%d%H%M%S")
    return calendar.timegm(fields) & 0xFFFFFFFF


def _read_hex_after(layout: str, count: int) -> Reader:
    """Numbers, then hexadecimal digits: TLSA, SSHFP and their like."""

    def read(words: list[str], origin: str) -> bytes:
        return _numbers(layout, words[:count]) + bytes.fromhex("".join(words[count:]))

    return read


def _read_uri(words: list[str], origin: str) -> bytes:
    return _numbers("!HH", words[:2]) + character_string(words[2])[1:]


def seconds(word: str) -> int:
    """`3600`, or BIND's `1h30m`. Raises ValueError."""
    if word.isascii() and word.isdigit():
        return int(word)
    total, digits = 0, ""
    for char in word.lower():
        if char.isdigit():
            digits += char
            continue
        if not digits or char not in _UNITS:
            bad_time(word)
        total += int(digits) * _UNITS[char]
        digits = ""
    if digits or not word:
        bad_time(word)
    return total


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def bad_time(word: str) -> NoReturn:
    raise ValueError(f"not a time: {word!r}")


_READ: dict[int, Reader] = {
    codes.A: _read_a, codes.AAAA: _read_aaaa, codes.NS: _read_name, codes.CNAME: _read_name,
    codes.PTR: _read_name, codes.DNAME: _read_name, codes.MX: _read_mx, codes.SRV: _read_srv,
    codes.SOA: _read_soa, codes.TXT: _read_txt, 99: _read_txt, codes.HINFO: _read_txt,
    257: _read_caa, codes.DS: _read_ds, codes.CDS: _read_ds, codes.DNSKEY: _read_dnskey,
    codes.CDNSKEY: _read_dnskey, codes.NAPTR: _read_naptr, codes.NSEC: _read_nsec,
    codes.RRSIG: _read_rrsig, 52: _read_hex_after("!BBB", 3), 53: _read_hex_after("!BBB", 3),
    44: _read_hex_after("!BB", 2), 256: _read_uri,
}  # fmt: skip

# Showing

Shower = Callable[[bytes], str]


def _show_a(raw: bytes) -> str:
    return socket.inet_ntop(socket.AF_INET if len(raw) == 4 else socket.AF_INET6, raw)


def _show_name(raw: bytes) -> str:
    return names.read(raw, 0)[0]


def _show_numbers_and_name(layout: str) -> Shower:
    packer = struct.Struct(layout)

    def show(raw: bytes) -> str:
        numbers = " ".join(map(str, packer.unpack_from(raw)))
        return f"{numbers} {names.read(raw, packer.size)[0]}"

    return show


def _show_soa(raw: bytes) -> str:
    mname, pos = names.read(raw, 0)
    rname, pos = names.read(raw, pos)
    return " ".join([mname, rname, *map(str, struct.unpack_from("!5I", raw, pos))])


def strings(raw: bytes) -> list[bytes]:
    """The character strings that the data of a TXT-like record is made of."""
    found, pos = [], 0
    while pos < len(raw):
        found.append(raw[pos + 1 : pos + 1 + raw[pos]])
        pos += 1 + raw[pos]
    return found


def _quoted(raw: bytes) -> str:
    body = "".join(
        "\\" + chr(c) if c in b'"\\' else (chr(c) if 32 <= c < 127 else f"\\{c:03d}") for c in raw
    )
    return f'"{body}"'


def _show_txt(raw: bytes) -> str:
    return " ".join(map(_quoted, strings(raw)))


def _show_caa(raw: bytes) -> str:
    end = 2 + raw[1]
    return f"{raw[0]} {raw[2:end].decode('latin-1')} {_quoted(raw[end:])}"


def _show_ds(raw: bytes) -> str:
    tag, algorithm, digest = struct.unpack_from("!HBB", raw)
    return f"{tag} {algorithm} {digest} {raw[4:].hex().upper()}"


def _show_dnskey(raw: bytes) -> str:
    flags, protocol, algorithm = struct.unpack_from("!HBB", raw)
    return f"{flags} {protocol} {algorithm} {base64.b64encode(raw[4:]).decode()}"


def bitmap(raw: bytes) -> list[int]:
    """The types of an NSEC bitmap."""
    found, pos = list[int](), 0
    while pos < len(raw):
        window, size = raw[pos], raw[pos + 1]
        found += (
            window << 8 | bit
            for bit in range(size * 8)
            if raw[pos + 2 + bit // 8] & 0x80 >> bit % 8
        )
        pos += 2 + size
    return found


def bitmap_wire(types: Sequence[int]) -> bytes:
    """The NSEC bitmap of these types."""
    windows: dict[int, bytearray] = {}
    for kind in sorted(types):
        bits = windows.setdefault(kind >> 8, bytearray(32))
        bits[(kind & 255) // 8] |= 0x80 >> kind % 8
    out = b""
    for window, bits in windows.items():
        packed = bytes(bits).rstrip(b"\0")
        out += bytes((window, len(packed))) + packed
    return out


def _show_nsec(raw: bytes) -> str:
    following, pos = names.read(raw, 0)
    return " ".join([following, *map(codes.type_name, bitmap(raw[pos:]))])


def _show_rrsig(raw: bytes) -> str:
    covered, *numbers = struct.unpack_from("!HBBI", raw)
    until, since, tag = struct.unpack_from("!IIH", raw, 8)
    signer, pos = names.read(raw, 18)
    times = (time.strftime("%Y%m%d%H%M%S", time.gmtime(t)) for t in (until, since))
    signature = base64.b64encode(raw[pos:]).decode()
    words = (codes.type_name(covered), *numbers, *times, tag, signer, signature)
    return " ".join(map(str, words))


def _show_naptr(raw: bytes) -> str:
    pos, shown = 4, list(map(str, struct.unpack_from("!HH", raw)))
    for _ in range(3):
        shown.append(_quoted(raw[pos + 1 : pos + 1 + raw[pos]]))
        pos += 1 + raw[pos]
    return " ".join([*shown, names.read(raw, pos)[0]])


_SHOW: dict[int, Shower] = {
    codes.A: _show_a, codes.AAAA: _show_a, codes.NS: _show_name, codes.CNAME: _show_name,
    codes.PTR: _show_name, codes.DNAME: _show_name, codes.MX: _show_numbers_and_name("!H"),
    codes.SRV: _show_numbers_and_name("!3H"), codes.SOA: _show_soa, codes.TXT: _show_txt,
    99: _show_txt, codes.HINFO: _show_txt, 257: _show_caa, codes.DS: _show_ds,
    codes.CDS: _show_ds, codes.DNSKEY: _show_dnskey, codes.CDNSKEY: _show_dnskey,
    codes.NSEC: _show_nsec, codes.RRSIG: _show_rrsig, codes.NAPTR: _show_naptr,
}  # fmt: skip

# Making


def a_record(name: str, ttl: int, ip: str) -> Record:
    """An A or AAAA record, as the address wants."""
    if ":" in ip:
        return Record(name, codes.AAAA, codes.IN, ttl, socket.inet_pton(socket.AF_INET6, ip))
    return Record(name, codes.A, codes.IN, ttl, socket.inet_aton(ip))


def name_record(name: str, kind: int, ttl: int, target: str) -> Record:
    """NS, CNAME, PTR or DNAME."""
    return Record(name, kind, codes.IN, ttl, names.wire(target))


def srv_record(name: str, ttl: int, numbers: tuple[int, int, int], target: str) -> Record:
    """`numbers` are priority, weight and port."""
    return Record(name, codes.SRV, codes.IN, ttl, struct.pack("!3H", *numbers) + names.wire(target))


def txt_record(name: str, ttl: int, *parts: str, cls: int = codes.IN) -> Record:
    data = b"".join(bytes((len(p.encode()),)) + p.encode() for p in parts)
    return Record(name, codes.TXT, cls, ttl, data)


def soa_record(
    zone: str, ttl: int, primary: str, mailbox: str, numbers: tuple[int, int, int, int, int]
) -> Record:
    """`numbers` are serial, refresh, retry, expire and minimum."""
    data = names.wire(primary) + names.wire(mailbox) + struct.pack("!5I", *numbers)
    return Record(zone, codes.SOA, codes.IN, ttl, data)
