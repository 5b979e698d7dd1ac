"""Domain names: text with a final dot and RFC 4343 escapes on one side, wire bytes on the other.

The case of a name is kept everywhere; whoever compares folds it first.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

_PLAIN = bytes(c for c in range(33, 127) if c not in b".\\\"'();@")
_PLAIN_AND_DOT = _PLAIN + b"."
_ESCAPED = frozenset(b".\\\"'();@ ")
HEADER = 12
MAX_NAME = 255
MAX_LABEL = 63
_MAX_POINTERS = 126
_MAX_KNOWN = 8192
_known: dict[str, bytes] = {}


class BadName(ValueError):
    """Not a domain name: a label or the whole is too long, or a pointer leads nowhere."""


def read(wire: bytes, pos: int) -> tuple[str, int]:
    """The name at `pos` of a message and the position behind it; follows compression pointers.

    Raises BadName on loops, on reading past the end and on names over 255 bytes.
    """
    labels, after, hops, size = [], 0, 0, 1
    end = len(wire)
    while True:
        if pos >= end:
            raise BadName("name runs past the message")
        length = wire[pos]
        if length == 0:
            break
        if length < 64:
            size += length + 1
            if pos + 1 + length > end or size > MAX_NAME:
                raise BadName("name is too long")
            labels.append(wire[pos + 1 : pos + 1 + length])
            pos += 1 + length
            continue
        if length < 192 or pos + 1 >= end:
            raise BadName("label type is unknown")
        after = after or pos + 2
        pos = (length & 0x3F) << 8 | wire[pos + 1]
        hops += 1
        if hops > _MAX_POINTERS:
            raise BadName("compression loop")
    return _text(labels), after or pos + 1


def _text(labels: list[bytes]) -> str:
    if not labels:
        return "."
    joined = b".".join(labels)
    if not joined.translate(None, _PLAIN_AND_DOT) and joined.count(b".") == len(labels) - 1:
        return joined.decode("ascii") + "."
    return "".join(escape(label) + "." for label in labels)


def escape(label: bytes) -> str:
    """One label as text: `\\.` for characters with a meaning, `\\DDD` for the unprintable."""
    return "".join(
        chr(c) if c in _PLAIN else ("\\" + chr(c) if c in _ESCAPED else f"\\{c:03d}") for c in label
    )


def read_question(message: bytes) -> tuple[str, int]:
    """`read` for the name right after the header, most of which are plain and asked for again
    as bytes: those are remembered. Raises BadName.
    """
    pos, labels = HEADER, list[bytes]()
    try:
        while length := message[pos]:
            if length > MAX_LABEL:
                return read(message, HEADER)
            start, pos = pos + 1, pos + 1 + length
            labels.append(message[start:pos])
    except IndexError:
        return read(message, HEADER)
    pos += 1
    if not labels or pos - HEADER > MAX_NAME:
        return read(message, HEADER)
    text = _text(labels)
    if "\\" not in text:
        know(text, message[HEADER:pos])
    return text, pos


def know(name: str, raw: bytes) -> None:
    """Spare `wire` the work."""
    if len(_known) >= _MAX_KNOWN:
        _known.clear()
    _known[name] = raw


def wire(name: str) -> bytes:
    """The uncompressed wire form of a name as text. Raises BadName."""
    found = _known.get(name)
    if found is None:
        found = _wire(name)
        know(name, found)
    return found


def _wire(name: str) -> bytes:
    if name in (".", ""):
        return b"\0"
    parts = _labels(name)
    if any(not 0 < len(part) <= MAX_LABEL for part in parts):
        raise BadName(f"bad label in name {name!r}")
    out = b"".join(bytes((len(part),)) + part for part in parts) + b"\0"
    if len(out) > MAX_NAME:
        raise BadName(f"name is longer than 255 bytes: {name!r}")
    return out


def _labels(name: str) -> list[bytes]:
    text = name[:-1] if is_fqdn(name) else name
    if "\\" not in text:
        return [part.encode("latin-1", "replace") for part in text.split(".")]
    labels, label, pos = [], bytearray(), 0
    while pos < len(text):
        char = text[pos]
        if char == "\\" and text[pos + 1 : pos + 4].isdigit() and len(text) >= pos + 4:
            label.append(int(text[pos + 1 : pos + 4]) & 255)
            pos += 4
            continue
        if char == "\\" and pos + 1 < len(text):
            label += text[pos + 1].encode("latin-1", "replace")
            pos += 2
            continue
        if char == ".":
            labels.append(bytes(label))
            label.clear()
        else:
            label += char.encode("latin-1", "replace")
        pos += 1
    return [*labels, bytes(label)]


def is_fqdn(name: str) -> bool:
    """Whether the name ends with a dot that no backslash takes its meaning from."""
    if not name.endswith("."):
        return False
    body = name[:-1]
    return (len(body) - len(body.rstrip("\\"))) % 2 == 0


def fqdn(name: str) -> str:
    return name if is_fqdn(name) else name + "."


def split(name: str) -> list[str]:
    """The labels of a name as text, left to right, escapes kept; the root has none."""
    if name in (".", ""):
        return []
    text = name[:-1] if is_fqdn(name) else name
    if "\\" not in text:
        return text.split(".")
    labels, start, pos = [], 0, 0
    while pos < len(text):
        if text[pos] == "\\":
            pos += 2
            continue
        if text[pos] == ".":
            labels.append(text[start:pos])
            start = pos + 1
        pos += 1
    return [*labels, text[start:]]


def parent(name: str) -> str:
    """The name without its first label; the root's parent is the root."""
    labels = split(name)
    return ".".join(labels[1:]) + "." if len(labels) > 1 else "."


def end(name: str, labels: int) -> str:
    """The last labels of a name."""
    return ".".join(split(name)[-labels:]) + "."


def is_below(name: str, zone: str) -> bool:
    """Whether `name` is `zone` or inside it; both lower-case with a final dot."""
    if zone == ".":
        return True
    if name == zone:
        return True
    return name.endswith("." + zone) and not name.endswith("\\." + zone)


def longest_zone(name: str, zones: tuple[str, ...]) -> str:
    """The longest of `zones` that contains the lower-case name; empty when none does."""
    best = ""
    for zone in zones:
        if len(zone) > len(best) and (name.endswith(zone) and is_below(name, zone)):
            best = zone
    return best


def reverse(address: str) -> str:
    """`10.0.0.1` to `1.0.0.10.in-addr.arpa.`, IPv6 to nibbles under `ip6.arpa.`."""
    return ip_address(address).reverse_pointer + "."


def address_of_reverse(name: str) -> str:
    """The address that a reverse name spells, empty when it spells none (or only a part)."""
    if name.endswith(".in-addr.arpa."):
        octets = name[: -len(".in-addr.arpa.")].split(".")
        if len(octets) != 4:
            return ""
        text = ".".join(reversed(octets))
    elif name.endswith(".ip6.arpa."):
        nibbles = name[: -len(".ip6.arpa.")].split(".")
        if len(nibbles) != 32 or any(len(n) != 1 for n in nibbles):
            return ""
        digits = "".join(reversed(nibbles))
        text = ":".join(digits[i : i + 4] for i in range(0, 32, 4))
    else:
        return ""
    try:
        return str(ip_address(text))
    except ValueError:
        return ""


def zones_of_network(text: str) -> list[str]:
    """The reverse zones of a network; masks off the octet or nibble expand to several.

    `10.0.0.0/23` gives `0.0.10.in-addr.arpa.` and `1.0.10.in-addr.arpa.`. Raises ValueError.
    """
    network: IPv4Network | IPv6Network = ip_network(text, strict=False)
    step, top = (8, 32) if network.version == 4 else (4, 128)
    bits = min(-(-network.prefixlen // step) * step, top)
    zones = []
    for part in network.subnets(new_prefix=bits) if bits > network.prefixlen else (network,):
        name = part.network_address.reverse_pointer.split(".")
        suffix = name[-2:]
        zones.append(".".join([*name[:-2][(top - bits) // step :], *suffix]) + ".")
    return zones
