"""The cluster's own certificates: an EC P-256 CA, what it issues, and the ServiceAccount key.

Files lie in one folder (`ca.crt ca.key sa.key sa.pub apiserver.crt ...`), keys readable by the
owner alone. The `cryptography` library is imported only when something is really made or read by
it: a start with everything in place reads PEM files and nothing else.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

CA_DAYS = 3650
LEAF_DAYS = 365
RENEW_BEFORE_DAYS = 30
BACKDATE = datetime.timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, PEM."""

    certificate: bytes
    key: bytes

    def write(self, folder: Path, name: str) -> tuple[Path, Path]:
        """As `name.crt` and `name.key`."""
        return (
            write(folder / f"{name}.crt", self.certificate, mode=0o644),
            write(folder / f"{name}.key", self.key),
        )


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a certificate is for: a user or node (CN, groups as O), a server (names)."""

    name: str
    groups: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    """DNS names and addresses; with any, the certificate is good for servers."""


class Authority:
    """A CA that issues leaf certificates."""

    def __init__(self, certificate: bytes, key: bytes) -> None:
        from cryptography import x509
        from cryptography.hazmat.primitives import serialization

        self.pem = certificate
        self.key_pem = key
        self._certificate: x509.Certificate = x509.load_pem_x509_certificate(certificate)
        self._key: Any = serialization.load_pem_private_key(key, None)

    def issue(self, subject: Subject, *, days: int = LEAF_DAYS) -> Pair:
        """A new key with its certificate; for clients always, for servers when it has names."""
        key = new_key()
        certificate = self._sign(subject, key.public_key(), days)
        return Pair(certificate, key_pem(key))

    def sign(self, subject: Subject, public_key: Any, *, days: int = LEAF_DAYS) -> bytes:
        """A certificate for a key that somebody else holds (certificate signing requests)."""
        return self._sign(subject, public_key, days)

    def _sign(self, subject: Subject, public_key: Any, days: int) -> bytes:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.x509.oid import ExtendedKeyUsageOID as Usage

        usages = [Usage.CLIENT_AUTH]
        if subject.names:
            usages.append(Usage.SERVER_AUTH)
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(subject.name, subject.groups))
            .issuer_name(self._certificate.subject)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - BACKDATE)
            .not_valid_after(now + datetime.timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(ca=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
        )
        if subject.names:
            builder = builder.add_extension(_alternatives(subject.names), critical=False)
        made = builder.sign(self._key, hashes.SHA256())
        return made.public_bytes(serialization.Encoding.PEM)


def new_authority(name: str) -> Authority:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization

    key = new_key()
    subject = _name(name, ())
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(now + datetime.timedelta(days=CA_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_key_usage(ca=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Authority(made.public_bytes(serialization.Encoding.PEM), key_pem(key))


def authority(folder: Path, name: str = "sampan-ca") -> Authority:
    """The CA in the folder (`ca.crt`, `ca.key`), made when there is none."""
    crt, key = folder / "ca.crt", folder / "ca.key"
    if crt.exists() and key.exists():
        return Authority(crt.read_bytes(), key.read_bytes())
    made = new_authority(name)
    write(key, made.key_pem)
    write(crt, made.pem, mode=0o644)
    return made


def signing_key(folder: Path) -> bytes:
    """The ServiceAccount key (`sa.key`, PEM), made with `sa.pub` when there is none."""
    path = folder / "sa.key"
    if path.exists():
        return path.read_bytes()
    from cryptography.hazmat.primitives import serialization

    key = new_key()
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    write(folder / "sa.pub", public, mode=0o644)
    write(path, key_pem(key))
    return path.read_bytes()


def serving_pair(folder: Path, name: str, names: Iterable[str]) -> tuple[Path, Path]:
    """`<name>.crt` and `.key` for a server with these names; made anew when it lacks one of them
    or ends soon. What the certificate holds stands beside it, so that no library is needed to see.
    """
    wanted = sorted(set(names))
    crt, key, note = (folder / f"{name}.{end}" for end in ("crt", "key", "names"))
    if crt.exists() and key.exists() and note.exists():
        until, *held = note.read_text().split()
        soon = datetime.datetime.now(datetime.UTC).timestamp() + RENEW_BEFORE_DAYS * 86400
        if set(wanted) <= set(held) and float(until) > soon:
            return crt, key
    pair = authority(folder).issue(Subject(name, names=tuple(wanted)))
    found = pair.write(folder, name)
    until_s = datetime.datetime.now(datetime.UTC).timestamp() + LEAF_DAYS * 86400
    write(note, " ".join([str(int(until_s)), *wanted]).encode(), mode=0o644)
    return found


def client_pair(folder: Path, name: str, subject: Subject) -> tuple[Path, Path]:
    """`<name>.crt` and `.key` for a client, made when they are not there or end soon."""
    crt, key = folder / f"{name}.crt", folder / f"{name}.key"
    if crt.exists() and key.exists():
        from_now = datetime.datetime.now(datetime.UTC).timestamp() - crt.stat().st_mtime
        if from_now < (LEAF_DAYS - RENEW_BEFORE_DAYS) * 86400:
            return crt, key
    return authority(folder).issue(subject).write(folder, name)


def new_key() -> EllipticCurvePrivateKey:
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: EllipticCurvePrivateKey) -> bytes:
    from cryptography.hazmat.primitives import serialization

    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def write(path: Path, data: bytes, *, mode: int = 0o600) -> Path:
    """Replace a file at once; nobody ever reads half a key."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    draft.rename(path)
    return path


def _name(common: str, organizations: Sequence[str]) -> x509.Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, text) for text in organizations]
    return x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _alternatives(names: Sequence[str]) -> x509.SubjectAlternativeName:
    from cryptography import x509

    found: list[x509.GeneralName] = []
    for name in names:
        try:
            found.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            found.append(x509.DNSName(name))
    return x509.SubjectAlternativeName(found)


def _key_usage(*, ca: bool) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, key_cert_sign=ca, crl_sign=ca,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip
