"""Transaction signatures (RFC 8945): a message and a shared key to a MAC and back.

The MAC covers the message as it was on the wire without its last record, so a query's bytes are
kept for this.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import struct
from collections.abc import Callable, Mapping
from typing import NamedTuple

from sampan.dns import names
from sampan.dns.message import HEADER

TYPE = 250
ANY = 255
FUDGE_S = 300
BADSIG, BADKEY, BADTIME = 16, 17, 18
NOTAUTH = 9
ALGORITHMS: dict[str, Callable[..., hashlib._Hash]] = {
    "hmac-md5.sig-alg.reg.int.": hashlib.md5,
    "hmac-sha1.": hashlib.sha1,
    "hmac-sha224.": hashlib.sha224,
    "hmac-sha256.": hashlib.sha256,
    "hmac-sha384.": hashlib.sha384,
    "hmac-sha512.": hashlib.sha512,
}
_FIXED = struct.Struct("!HHIH")


class Signature(NamedTuple):
    """A TSIG record, with the bytes of the message that it stands behind."""

    key: str
    algorithm: str
    time: int
    fudge: int
    mac: bytes
    original_id: int
    error: int
    other: bytes
    message: bytes


def found(wire: bytes) -> Signature | None:
    """The signature at the end of a message that `parse` took; None where there is none."""
    _, bits, *counts = HEADER.unpack_from(wire)
    if not counts[3]:
        return None
    pos = 12
    for _ in range(counts[0]):
        pos = names.read(wire, pos)[1] + 4
    start, name, kind, size = pos, "", 0, 0
    for _ in range(sum(counts[1:])):
        start = pos
        name, pos = names.read(wire, pos)
        kind, _, _, size = _FIXED.unpack_from(wire, pos)
        pos += 10 + size
    if kind != TYPE:
        return None
    algorithm, at = names.read(wire, pos - size)
    high, low, fudge, length = struct.unpack_from("!HIHH", wire, at)
    mac = wire[at + 10 : at + 10 + length]
    original, error, more = struct.unpack_from("!HHH", wire, at + 10 + length)
    other = wire[at + 16 + length : at + 16 + length + more]
    head = HEADER.pack(original, bits, *counts[:3], counts[3] - 1)
    return Signature(
        name.lower(), algorithm.lower(), high << 32 | low, fudge, mac, original, error, other,
        head + wire[12:start],
    )  # fmt: skip


def fault(signature: Signature, keys: Mapping[str, bytes], now: float) -> int:
    """What is wrong with a query's signature: 0, BADKEY, BADSIG or BADTIME."""
    key = keys.get(signature.key)
    if key is None:
        return BADKEY
    if signature.algorithm not in ALGORITHMS:
        return BADSIG
    covered = signature.message + _variables(signature)
    if not hmac.compare_digest(_mac(key, signature.algorithm, covered), signature.mac):
        return BADSIG
    return BADTIME if abs(now - signature.time) > signature.fudge else 0


class Signer:
    """Signs the messages of one reply in their order; each covers the MAC of the one before."""

    def __init__(
        self, asked: Signature, key: bytes | None, now: Callable[[], float], error: int = 0
    ) -> None:
        self.asked = asked
        self.key = key
        self.now = now
        self.error = error
        self.last = asked.mac
        self.first = True

    @property
    def size(self) -> int:
        """How many bytes a signature adds."""
        name, algorithm = names.wire(self.asked.key), names.wire(self.asked.algorithm)
        mac = len(self.asked.mac) if self.key is not None else 0
        return len(name) + len(algorithm) + mac + 26 + (6 if self.error == BADTIME else 0)

    def sign(self, wire: bytes) -> bytes:
        time, other = int(self.now()), b""
        if self.error == BADTIME:
            time, other = self.asked.time, struct.pack("!HI", time >> 32, time & 0xFFFFFFFF)
        made = self.asked._replace(
            time=time, fudge=FUDGE_S, mac=b"", error=self.error, other=other, message=wire,
            original_id=int.from_bytes(wire[:2]),
        )  # fmt: skip
        if self.key is not None:
            tail = _variables(made) if self.first else _timers(made)
            covered = len(self.last).to_bytes(2) + self.last + wire + tail
            made = made._replace(mac=_mac(self.key, made.algorithm, covered))
            self.last, self.first = made.mac, False
        more = int.from_bytes(wire[10:12]) + 1
        return wire[:10] + more.to_bytes(2) + wire[12:] + _record(made)


def _mac(key: bytes, algorithm: str, covered: bytes) -> bytes:
    return hmac.new(key, covered, ALGORITHMS[algorithm]).digest()


def _timers(signature: Signature) -> bytes:
    high, low = signature.time >> 32, signature.time & 0xFFFFFFFF
    return struct.pack("!HIH", high, low, signature.fudge)


def _variables(signature: Signature) -> bytes:
    return (
        names.wire(signature.key) + struct.pack("!HI", ANY, 0) + names.wire(signature.algorithm)
        + _timers(signature)
        + struct.pack("!HH", signature.error, len(signature.other)) + signature.other
    )  # fmt: skip


def _record(signature: Signature) -> bytes:
    mac, other = signature.mac, signature.other
    rdata = (
        names.wire(signature.algorithm) + _timers(signature) + len(mac).to_bytes(2) + mac
        + struct.pack("!HHH", signature.original_id, signature.error, len(other)) + other
    )  # fmt: skip
    return names.wire(signature.key) + _FIXED.pack(TYPE, ANY, 0, len(rdata)) + rdata


def read_keys(text: str) -> dict[str, bytes]:
    """Keys in the form of `named.conf`: `key "name." { algorithm x; secret "base64"; };`.

    Raises ValueError.
    """
    keys: dict[str, bytes] = {}
    words = text.replace("{", " { ").replace("}", " } ").replace(";", " ; ").split()
    name = ""
    for number, word in enumerate(words):
        following = words[number + 1].strip('"') if number + 1 < len(words) else ""
        if word == "key":
            name = names.fqdn(following).lower()
            if name in keys:
                raise ValueError(f'key "{name}" redefined')
        elif word == "secret":
            if not name:
                raise ValueError("a secret without a key")
            keys[name] = secret(following)
    return keys


def secret(text: str) -> bytes:
    """Raises ValueError."""
    return base64.b64decode(text, validate=True)
