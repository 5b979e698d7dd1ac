"""Record data of the types that zone files hold now and then: text to wire form and back."""

from __future__ import annotations

import base64
import socket
import struct
from collections.abc import Callable

from sampan.dns import names

Words = list[str]
Reader = Callable[[Words, Callable[[str], bytes]], bytes]
"""The second argument makes a name's wire form, relative ones completed."""
Shower = Callable[[bytes], str]

# LOC (RFC 1876)

EQUATOR, DATUM_CM = 1 << 31, 10000000


def _angle(words: Words, signs: str) -> int:
    """Degrees, minutes, seconds and a letter; thousandths of a second from the equator."""
    parts: list[float] = []
    while words and words[0].upper() not in signs:
        parts.append(float(words.pop(0)))
    sign = words.pop(0).upper()
    if not 1 <= len(parts) <= 3:
        raise ValueError("LOC")
    degrees, minutes, seconds = (*parts, 0.0, 0.0)[:3]
    value = round((degrees * 3600 + minutes * 60 + seconds) * 1000)
    return EQUATOR + (value if sign == signs[0] else -value)


def _centimetres(word: str) -> int:
    return round(float(word.removesuffix("m")) * 100)


def _size(word: str) -> int:
    """A length as one digit and a power of ten, in one byte."""
    value, power = _centimetres(word), 0
    while value >= 10:
        value, power = value // 10, power + 1
    return value << 4 | power


def _read_loc(words: Words, wire: Callable[[str], bytes]) -> bytes:
    latitude, longitude = _angle(words, "NS"), _angle(words, "EW")
    altitude = _centimetres(words[0]) + DATUM_CM
    given = words[1:4]
    defaults = ["1m", "10000m", "10m"]
    sizes = [_size(word) for word in [*given, *defaults[len(given) :]]]
    return struct.pack("!4B3I", 0, *sizes, latitude, longitude, altitude)


def _show_loc(raw: bytes) -> str:
    _, size, across, up, latitude, longitude, altitude = struct.unpack("!4B3I", raw)
    angles = [_shown_angle(latitude, "NS"), _shown_angle(longitude, "EW")]
    height = f"{(altitude - DATUM_CM) / 100:.2f}m"
    lengths = [f"{(one >> 4) * 10 ** (one & 15) / 100:.2f}m" for one in (size, across, up)]
    return " ".join([*angles, height, *lengths])


def _shown_angle(value: int, signs: str) -> str:
    sign, rest = signs[0 if value >= EQUATOR else 1], abs(value - EQUATOR)
    minutes, thousandths = divmod(rest, 60000)
    return f"{minutes // 60} {minutes % 60} {thousandths / 1000:.3f} {sign}"


# SVCB and HTTPS (RFC 9460)

KEYS = ["mandatory", "alpn", "no-default-alpn", "port", "ipv4hint", "ech", "ipv6hint", "dohpath"]


def _key(word: str) -> int:
    return KEYS.index(word) if word in KEYS else int(word.removeprefix("key"))


def _listed(value: str) -> list[bytes]:
    """Comma-separated, `\\,` for a comma inside."""
    parts = value.replace("\\\\,", "\0").replace("\\,", "\0").split(",")
    return [part.replace("\0", ",").encode() for part in parts]


def _value(key: int, value: str) -> bytes:
    if key == 0:
        return b"".join(struct.pack("!H", k) for k in sorted(_key(w) for w in value.split(",")))
    if key == 1:
        return b"".join(bytes((len(one),)) + one for one in _listed(value))
    if key == 3:
        return struct.pack("!H", int(value))
    if key in (4, 6):
        family = socket.AF_INET if key == 4 else socket.AF_INET6
        return b"".join(socket.inet_pton(family, one) for one in value.split(","))
    return base64.b64decode(value) if key == 5 else value.encode()


def _read_svcb(words: Words, wire: Callable[[str], bytes]) -> bytes:
    found: dict[int, bytes] = {}
    for word in words[2:]:
        name, _, value = word.partition("=")
        if value[:1] == '"':
            value = value[1:-1]
        key = _key(name)
        if key in found:
            raise ValueError("SVCB")
        found[key] = _value(key, value) if value else b""
    head = struct.pack("!H", int(words[0])) + wire(words[1])
    return head + b"".join(struct.pack("!HH", k, len(v)) + v for k, v in sorted(found.items()))


def _show_svcb(raw: bytes) -> str:
    target, pos = names.read(raw, 2)
    shown = [str(struct.unpack_from("!H", raw)[0]), target]
    while pos < len(raw):
        key, size = struct.unpack_from("!HH", raw, pos)
        value = raw[pos + 4 : pos + 4 + size]
        name = KEYS[key] if key < len(KEYS) else f"key{key}"
        shown.append(name if key == 2 else f'{name}="{_shown_value(key, value)}"')
        pos += 4 + size
    return " ".join(shown)


def _shown_value(key: int, raw: bytes) -> str:
    if key == 0:
        return ",".join(KEYS[k] if k < len(KEYS) else f"key{k}" for (k,) in _numbers("!H", raw))
    if key == 1:
        found, pos = [], 0
        while pos < len(raw):
            found.append(raw[pos + 1 : pos + 1 + raw[pos]].decode("latin-1"))
            pos += 1 + raw[pos]
        return ",".join(one.replace(",", "\\\\,") for one in found)
    if key == 3:
        return str(struct.unpack("!H", raw)[0])
    if key in (4, 6):
        step, family = (4, socket.AF_INET) if key == 4 else (16, socket.AF_INET6)
        parts = [raw[at : at + step] for at in range(0, len(raw), step)]
        return ",".join(socket.inet_ntop(family, part) for part in parts)
    return base64.b64encode(raw).decode() if key == 5 else raw.decode("latin-1")


def _numbers(layout: str, raw: bytes) -> list[tuple[int, ...]]:
    return list(struct.iter_unpack(layout, raw))


# The rest: numbers, names, and what is left as hexadecimal digits or base 64

ALGORITHMS = {"PKIX": 1, "SPKI": 2, "PGP": 3, "IPKIX": 4, "ISPKI": 5, "IPGP": 6, "URI": 253,
              "OID": 254}  # fmt: skip


def _read_cert(words: Words, wire: Callable[[str], bytes]) -> bytes:
    kind = ALGORITHMS.get(words[0].upper())
    head = struct.pack("!HHB", int(words[0]) if kind is None else kind, *map(int, words[1:3]))
    return head + base64.b64decode("".join(words[3:]))


def _show_cert(raw: bytes) -> str:
    kind, tag, algorithm = struct.unpack_from("!HHB", raw)
    name = next((name for name, number in ALGORITHMS.items() if number == kind), str(kind))
    return f"{name} {tag} {algorithm} {base64.b64encode(raw[5:]).decode()}"


def _read_names(words: Words, wire: Callable[[str], bytes]) -> bytes:
    if len(words) != 2:
        raise ValueError("names")
    return b"".join(map(wire, words))


def _show_names(raw: bytes) -> str:
    first, pos = names.read(raw, 0)
    return f"{first} {names.read(raw, pos)[0]}"


def _read_ranked(words: Words, wire: Callable[[str], bytes]) -> bytes:
    return struct.pack("!H", int(words[0])) + wire(words[1])


def _show_ranked(raw: bytes) -> str:
    return f"{struct.unpack_from('!H', raw)[0]} {names.read(raw, 2)[0]}"


def _show_hex_after(layout: str) -> Shower:
    packer = struct.Struct(layout)

    def show(raw: bytes) -> str:
        head = map(str, packer.unpack_from(raw))
        return " ".join([*head, raw[packer.size :].hex().upper()])

    return show


def _read_base64(words: Words, wire: Callable[[str], bytes]) -> bytes:
    return base64.b64decode("".join(words))


def _show_base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _read_salted(words: Words, wire: Callable[[str], bytes]) -> bytes:
    salt = b"" if words[3] == "-" else bytes.fromhex(words[3])
    return struct.pack("!BBHB", *map(int, words[:3]), len(salt)) + salt


def _show_salted(raw: bytes) -> str:
    algorithm, flags, rounds, size = struct.unpack_from("!BBHB", raw)
    return f"{algorithm} {flags} {rounds} {raw[5 : 5 + size].hex().upper() or '-'}"


def _show_uri(raw: bytes) -> str:
    priority, weight = struct.unpack_from("!HH", raw)
    return f'{priority} {weight} "{raw[4:].decode("latin-1")}"'


def _read_eui(words: Words, wire: Callable[[str], bytes]) -> bytes:
    return bytes.fromhex(words[0].replace("-", ""))


def _show_eui(raw: bytes) -> str:
    return raw.hex("-")


LOC, SVCB, HTTPS, CERT, RP, OPENPGPKEY, NSEC3PARAM = 29, 64, 65, 37, 17, 61, 51
READ: dict[int, Reader] = {
    LOC: _read_loc, SVCB: _read_svcb, HTTPS: _read_svcb, CERT: _read_cert, RP: _read_names,
    18: _read_ranked, 21: _read_ranked, 36: _read_ranked, OPENPGPKEY: _read_base64,
    49: _read_base64, NSEC3PARAM: _read_salted, 108: _read_eui, 109: _read_eui,
}  # fmt: skip
SHOW: dict[int, Shower] = {
    LOC: _show_loc, SVCB: _show_svcb, HTTPS: _show_svcb, CERT: _show_cert, RP: _show_names,
    18: _show_ranked, 21: _show_ranked, 36: _show_ranked, 44: _show_hex_after("!BB"),
    52: _show_hex_after("!BBB"), 53: _show_hex_after("!BBB"), 256: _show_uri,
    OPENPGPKEY: _show_base64, 49: _show_base64, NSEC3PARAM: _show_salted, 108: _show_eui,
    109: _show_eui,
}  # fmt: skip
