"""nftables: scripts in nft's own language for tables, chains and rules; packed elements for sets.

A set's elements are packed as the kernel compares them, every field padded to four bytes, so that
ten thousand of them cost one system call. `pack` and `unpack` translate to and from nft's words.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

PROTOCOLS = {"tcp": 6, "udp": 17, "sctp": 132, "icmp": 1, "ipv6-icmp": 58}
PROTOCOL_NAMES = {number: name for name, number in PROTOCOLS.items()}


class NftError(Exception):
    """The kernel or libnftables refused a transaction; nothing of it is in force."""


class SetRef(NamedTuple):
    """A set or map of a table; `family` is nft's word, ip or ip6."""

    family: str
    table: str
    name: str


class Element(NamedTuple):
    """One element; `data` only in maps (of a verdict map the verdict in nft's words), `key_end`
    only in interval sets.
    """

    key: bytes
    data: bytes = b""
    key_end: bytes = b""


Elements = Mapping[SetRef, Sequence[Element]]


class Nft(Protocol):
    """Transactions on the nftables of one network namespace: all of one takes effect, or nothing.

    Calls block for as long as the kernel works; callers move large ones to a thread.
    """

    def run(self, script: str) -> str:
        """Run a script as one transaction and return what it printed. Raises NftError."""
        ...

    def listing(self, family: str, table: str) -> str:
        """A table without the elements of its sets, as `nft` prints it; empty if there is none."""
        ...

    def commit(self, delete: Elements, add: Elements) -> None:
        """Take elements out, then put elements in, as one transaction. Raises NftError."""
        ...

    def elements(
        self, ref: SetRef, guess: Mapping[bytes, Element] | None = None
    ) -> Mapping[bytes, Element]:
        """What a set holds now, by key; for start and repair, not for every change. A good `guess`
        makes it cheaper and may itself be what is returned. Raises NftError.
        """
        ...

    def watch(self, tables: Sequence[tuple[str, str]]) -> Watch:
        """Notice changes to these (family, table) that others make from now on."""
        ...


class Watch(Protocol):
    """A descriptor that turns readable when somebody may have changed a watched table."""

    def fileno(self) -> int: ...

    def foreign(self) -> bool:
        """Read what came; True if someone else touched a watched table. Never blocks."""
        ...

    def close(self) -> None: ...


def field_size(field: str) -> int:
    """Bytes of a field by its nft type, padded to registers of four bytes."""
    return 16 if field == "ipv6_addr" else 4


def pack_field(field: str, word: str) -> bytes:
    """One value as the kernel holds it; `field` is nft's name of the type."""
    if field == "ipv4_addr":
        return socket.inet_aton(word)
    if field == "ipv6_addr":
        return socket.inet_pton(socket.AF_INET6, word)
    if field == "inet_proto":
        return struct.pack("Bxxx", PROTOCOLS[word] if word in PROTOCOLS else int(word))
    if field == "inet_service":
        return struct.pack("!Hxx", int(word))
    return struct.pack("=I", int(word))


def unpack_field(field: str, value: bytes) -> str:
    """The word that nft prints for a packed value."""
    if field == "ipv4_addr":
        return socket.inet_ntoa(value[:4])
    if field == "ipv6_addr":
        return socket.inet_ntop(socket.AF_INET6, value[:16])
    if field == "inet_proto":
        return PROTOCOL_NAMES.get(value[0], str(value[0]))
    if field == "inet_service":
        return str(struct.unpack("!H", value[:2])[0])
    return str(struct.unpack("=I", value[:4])[0])


def pack(fields: Sequence[str], words: Sequence[str]) -> Element:
    """An element's key from words, ranges of a prefix included."""
    low, high = b"", b""
    for field, word in zip(fields, words, strict=True):
        if "/" in word:
            network = ipaddress.ip_network(word, strict=False)
            low += network.network_address.packed
            high += network.broadcast_address.packed
        else:
            value = pack_field(field, word)
            low += value
            high += value
    return Element(low, key_end=high)


def unpack(fields: Sequence[str], value: bytes) -> tuple[str, ...]:
    """The words of a packed key or value."""
    words = []
    start = 0
    for field in fields:
        words.append(unpack_field(field, value[start:]))
        start += field_size(field)
    return tuple(words)


def unpack_range(fields: Sequence[str], element: Element) -> tuple[str, ...]:
    """The words of an interval element: fields whose ends differ come out as prefixes."""
    words = []
    start = 0
    for field in fields:
        size = field_size(field)
        low, high = element.key[start : start + size], element.key_end[start : start + size]
        start += size
        if low == high or not high:
            words.append(unpack_field(field, low))
            continue
        first, last = ipaddress.ip_address(low), ipaddress.ip_address(high)
        words.extend(str(one) for one in _networks(first, last))
    return tuple(words)


def _networks(
    first: ipaddress.IPv4Address | ipaddress.IPv6Address,
    last: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    if isinstance(first, ipaddress.IPv4Address) and isinstance(last, ipaddress.IPv4Address):
        return list(ipaddress.summarize_address_range(first, last))
    if isinstance(first, ipaddress.IPv6Address) and isinstance(last, ipaddress.IPv6Address):
        return list(ipaddress.summarize_address_range(first, last))
    return []
