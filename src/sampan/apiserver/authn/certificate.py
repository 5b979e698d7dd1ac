"""The user in a client certificate: CN is the name, each O a group.

TLS has verified the chain against the client CA already; only the subject is read here, by a DER
reader of thirty lines, because the library for certificates would cost a third of our start.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from sampan.apiserver.authn.user import User, known

_COMMON_NAME = bytes.fromhex("550403")
_ORGANIZATION = bytes.fromhex("55040a")
_EXPLICIT_VERSION = 0xA0


@lru_cache(maxsize=1024)
def user_of(certificate: bytes) -> User | None:
    """The user of a DER certificate; None without a common name."""
    name, groups = "", []
    for oid, text in _subject(certificate):
        if oid == _COMMON_NAME:
            name = text
        elif oid == _ORGANIZATION:
            groups.append(text)
    return known(User(name, groups=tuple(groups))) if name else None


def _subject(certificate: bytes) -> Iterator[tuple[bytes, str]]:
    """The attributes of tbsCertificate.subject (RFC 5280 4.1)."""
    tbs = next(_parts(next(_parts(certificate))[1]))[1]
    fields = [part for part in _parts(tbs) if part[0] != _EXPLICIT_VERSION]
    subject = fields[4][1]  # serial, signature, issuer, validity, subject
    for _, names in _parts(subject):
        for _, attribute in _parts(names):
            oid, value = [content for _, content in _parts(attribute)]
            yield oid, value.decode("utf-8", "replace")


def _parts(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and content of each DER element."""
    at = 0
    while at < len(data):
        tag, length = data[at], data[at + 1]
        at += 2
        if length & 0x80:
            size = length & 0x7F
            length = int.from_bytes(data[at : at + size], "big")
            at += size
        yield tag, data[at : at + length]
        at += length
