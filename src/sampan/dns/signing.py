"""DNSSEC keys and signatures (RFC 4034): BIND's key files, RRSIGs, key tags, DS digests.

The cryptography library is imported with the first key: servers without keys do without it.
"""

from __future__ import annotations

import base64
import hashlib
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from sampan.dns import codes, names, zonefile
from sampan.dns.message import Record, read_names, with_names

RSASHA256, RSASHA512, ECDSAP256, ECDSAP384, ED25519 = 8, 10, 13, 14, 15
SHA1, SHA256 = 1, 2
FOLDED = frozenset((2, 5, 6, 12, 15, 33, 35, 39, 17, 18, 21, 36))
"""Types whose names inside are signed in lower case (RFC 4034 section 6.2)."""


class BadKey(ValueError):
    """The files are no key pair that we can use."""


@dataclass(frozen=True, slots=True)
class Key:
    """A DNSKEY with its private half."""

    record: Record
    private: Any

    @property
    def flags(self) -> int:
        return int.from_bytes(self.record.rdata[:2])

    @property
    def algorithm(self) -> int:
        return self.record.rdata[3]

    @property
    def is_zone_key(self) -> bool:
        return bool(self.flags & 0x100)

    @property
    def is_entry_point(self) -> bool:
        return self.flags & 0x101 == 0x101

    @property
    def tag(self) -> int:
        """RFC 4034 appendix B."""
        total = 0
        for i, byte in enumerate(self.record.rdata):
            total += byte if i & 1 else byte << 8
        return (total + (total >> 16)) & 0xFFFF

    def named(self, owner: str, ttl: int) -> Key:
        return Key(self.record._replace(name=owner, ttl=ttl), self.private)

    def digest(self, kind: int) -> bytes:
        """The data of a DS or CDS record."""
        source = names.wire(self.record.name.lower()) + self.record.rdata
        made = hashlib.sha1(source) if kind == SHA1 else hashlib.sha256(source)
        return struct.pack("!HBB", self.tag, self.algorithm, kind) + made.digest()


def load(base: str) -> Key:
    """The pair of `base.key` and `base.private`. Raises OSError and BadKey."""
    base = base.removesuffix(".key").removesuffix(".private")
    with open(base + ".key", encoding="utf-8") as file:
        lines = [line for line in file if line.strip() and not line.startswith(";")]
    try:
        record = zonefile.record(lines[0]) if lines else None
    except zonefile.BadZone as bad:
        raise BadKey(str(bad)) from bad
    if record is None or record.type != codes.DNSKEY:
        raise BadKey(f'RR in "{base}.key" is not a DNSKEY')
    with open(base + ".private", encoding="utf-8") as file:
        fields = dict(line.split(":", 1) for line in file if ":" in line)
    given = {name.strip(): value.strip() for name, value in fields.items()}
    return Key(record, _private(record.rdata[3], given))


def _private(algorithm: int, fields: dict[str, str]) -> Any:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    def number(name: str) -> int:
        return int.from_bytes(base64.b64decode(fields[name]))

    try:
        if algorithm in (ECDSAP256, ECDSAP384):
            curve = ec.SECP256R1() if algorithm == ECDSAP256 else ec.SECP384R1()
            return ec.derive_private_key(number("PrivateKey"), curve)
        if algorithm == ED25519:
            raw = base64.b64decode(fields["PrivateKey"])
            return ed25519.Ed25519PrivateKey.from_private_bytes(raw)
        if algorithm in (RSASHA256, RSASHA512):
            return _rsa(number)
    except (KeyError, ValueError) as bad:
        raise BadKey(f"bad private key: {bad}") from bad
    raise BadKey(f"unsupported algorithm {algorithm}")


def _rsa(number: Any) -> Any:
    from cryptography.hazmat.primitives.asymmetric import rsa

    public = rsa.RSAPublicNumbers(number("PublicExponent"), number("Modulus"))
    numbers = rsa.RSAPrivateNumbers(
        number("Prime1"), number("Prime2"), number("PrivateExponent"),
        number("Exponent1"), number("Exponent2"), number("Coefficient"), public,
    )  # fmt: skip
    return numbers.private_key()


def sign(
    records: Sequence[Record],
    key: Key,
    signer: str,
    period: tuple[int, int],
    original_ttl: int | None = None,
) -> Record:
    """The RRSIG of a set of records; `period` is when it begins and ends to hold, `original_ttl`
    what it signs as the records' TTL.
    """
    first, (since, until) = records[0], period
    ttl = first.ttl if original_ttl is None else original_ttl
    labels = len([label for label in names.split(first.name) if label != "*"])
    head = struct.pack(
        "!HBBIIIH", first.type, key.algorithm, labels, ttl, until, since, key.tag
    ) + names.wire(signer.lower())
    signature = _signature(key, head + _canonical(records, ttl))
    return Record(first.name, codes.RRSIG, first.cls, first.ttl, head + signature)


def _canonical(records: Sequence[Record], ttl: int) -> bytes:
    """The set in canonical form and order (RFC 4034 section 6)."""
    owner = names.wire(records[0].name.lower())
    data = []
    for record in records:
        if record.type in FOLDED:
            inside = [name.lower() for name in read_names(record)]
            record = with_names(record, inside) if inside else record
        data.append(record.rdata)
    first = records[0]
    head = owner + struct.pack("!HHI", first.type, first.cls, ttl)
    return b"".join(head + struct.pack("!H", len(one)) + one for one in sorted(set(data)))


def _signature(key: Key, content: bytes) -> bytes:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, padding
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

    if key.algorithm == ED25519:
        raw: bytes = key.private.sign(content)
        return raw
    if key.algorithm in (RSASHA256, RSASHA512):
        made = hashes.SHA256() if key.algorithm == RSASHA256 else hashes.SHA512()
        signed: bytes = key.private.sign(content, padding.PKCS1v15(), made)
        return signed
    small = key.algorithm == ECDSAP256
    der = key.private.sign(content, ec.ECDSA(hashes.SHA256() if small else hashes.SHA384()))
    size = 32 if small else 48
    r, s = decode_dss_signature(der)
    return r.to_bytes(size) + s.to_bytes(size)


def sets(records: Iterable[Record]) -> list[list[Record]]:
    """Records by owner and type; signatures and OPT are no sets of their own."""
    chosen = [r for r in records if r.type not in (codes.RRSIG, codes.OPT)]
    ordered = sorted(chosen, key=_set_key)
    return [list(group) for _, group in groupby(ordered, key=_set_key)]


def _set_key(record: Record) -> tuple[str, int]:
    return record.name.lower(), record.type
