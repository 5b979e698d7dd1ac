"""Is this a certificate and its key? Told in the words of Go's TLS library, which clients know."""

from __future__ import annotations

import re

_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----[^-]*-----END \1-----")


def key_pair_fault(certificate: bytes, key: bytes) -> str:
    """Why a TLS server could not use the pair; empty when it can."""
    return _certificate_fault(certificate) or _key_fault(key) or _mismatch(certificate, key)


def _types(pem: bytes) -> list[str]:
    return [match[1].decode() for match in _BLOCK.finditer(pem)]


def _certificate_fault(pem: bytes) -> str:
    types = _types(pem)
    if "CERTIFICATE" in types:
        return ""
    if not types:
        return "tls: failed to find any PEM data in certificate input"
    if len(types) == 1 and types[0].endswith("PRIVATE KEY"):
        return (
            "tls: failed to find certificate PEM data in certificate input, but did find a "
            "private key; PEM inputs may have been switched"
        )
    listed = " ".join(types)
    return (
        'tls: failed to find "CERTIFICATE" PEM block in certificate input after skipping PEM '
        f"blocks of the following types: [{listed}]"
    )


def _key_fault(pem: bytes) -> str:
    types = _types(pem)
    if any(kind == "PRIVATE KEY" or kind.endswith(" PRIVATE KEY") for kind in types):
        return ""
    if not types:
        return "tls: failed to find any PEM data in key input"
    if types == ["CERTIFICATE"]:
        return "tls: found a certificate rather than a key in the PEM for the private key"
    listed = " ".join(types)
    return (
        'tls: failed to find PEM block with type ending in "PRIVATE KEY" in key input after '
        f"skipping PEM blocks of the following types: [{listed}]"
    )


def _mismatch(certificate: bytes, key: bytes) -> str:
    # Imported here: only TLS secrets need it, and it is heavy.
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    try:
        public = x509.load_pem_x509_certificate(certificate).public_key()
    except ValueError:
        return "x509: malformed certificate"
    try:
        private = serialization.load_pem_private_key(key, None)
    except (ValueError, TypeError):
        return "tls: failed to parse private key"
    form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    if public.public_bytes(*form) != private.public_key().public_bytes(*form):
        return "tls: private key does not match public key"
    return ""
