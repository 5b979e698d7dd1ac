"""ServiceAccount tokens: JWTs signed with ES256, and the keys that tell whether they are ours.

Pure but for the signature itself; whether account, pod, secret and node still exist is asked by
`authn.accounts`.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from sampan.api.meta import Json

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import (
        EllipticCurvePrivateKey,
        EllipticCurvePublicKey,
    )

LEEWAY_S = 10


class BadToken(Exception):
    """The token is of our kind, but not good; the message says why (for TokenReview only)."""


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """The public half of an EC P-256 key; `key_id` stands in the header of its tokens."""

    public: EllipticCurvePublicKey
    key_id: str

    def jwk(self) -> Json:
        """As /openid/v1/jwks shows it."""
        numbers = self.public.public_numbers()
        return {
            "use": "sig", "kty": "EC", "kid": self.key_id, "crv": "P-256", "alg": "ES256",
            "x": encode(numbers.x.to_bytes(32, "big")), "y": encode(numbers.y.to_bytes(32, "big")),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class SigningKey(VerifyingKey):
    """Both halves."""

    private: EllipticCurvePrivateKey


def load_key(pem: bytes) -> SigningKey:
    """From a PEM private key. Raises ValueError when it is not EC P-256."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    private = serialization.load_pem_private_key(pem, None)
    if not isinstance(private, ec.EllipticCurvePrivateKey) or private.curve.name != "secp256r1":
        raise ValueError("the service-account signing key must be an EC P-256 key")
    public = private.public_key()
    return SigningKey(public, _key_id(public), private)


def load_public_key(pem: bytes) -> VerifyingKey:
    """From a PEM key of either half. Raises ValueError when it is not EC P-256."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    if b"PRIVATE KEY" in pem:
        return load_key(pem)
    public = serialization.load_pem_public_key(pem)
    if not isinstance(public, ec.EllipticCurvePublicKey) or public.curve.name != "secp256r1":
        raise ValueError("service-account keys must be EC P-256 keys")
    return VerifyingKey(public, _key_id(public))


def _key_id(public: EllipticCurvePublicKey) -> str:
    from cryptography.hazmat.primitives import serialization

    der = public.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return encode(hashlib.sha256(der).digest())


def sign(key: SigningKey, claims: Json) -> str:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

    header = encode(orjson.dumps({"alg": "ES256", "kid": key.key_id}))
    signed = f"{header}.{encode(orjson.dumps(claims))}"
    r, s = decode_dss_signature(key.private.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{signed}.{encode(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def issuer_of(token: str) -> str:
    """The `iss` that a token claims, unverified; empty when it is no JWT."""
    parts = token.split(".")
    if len(parts) != 3:
        return ""
    try:
        claims = orjson.loads(decode(parts[1]))
    except ValueError:
        return ""
    issuer = claims.get("iss", "") if isinstance(claims, dict) else ""
    return issuer if isinstance(issuer, str) else ""


def verify(keys: Mapping[str, VerifyingKey], token: str, now: float) -> Json:
    """The claims of a token that one of the keys (by id) signed and that is valid now. Raises
    BadToken.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    head, payload, signature = token.split(".")
    try:
        header, raw = orjson.loads(decode(head)), decode(signature)
        claims: Any = orjson.loads(decode(payload))
    except ValueError as error:
        raise BadToken("the token is malformed") from error
    if not isinstance(header, dict) or header.get("alg") != "ES256" or len(raw) != 64:
        raise BadToken("the token is not signed with ES256")
    key = keys.get(str(header.get("kid", "")))
    if key is None:
        raise BadToken("the token is signed with a key that is not known")
    numbers = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
    try:
        signed = f"{head}.{payload}".encode()
        key.public.verify(encode_dss_signature(*numbers), signed, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature as error:
        raise BadToken("the signature does not fit") from error
    if not isinstance(claims, dict):
        raise BadToken("the token is malformed")
    if now > float(claims.get("exp", 0)) + LEEWAY_S:
        raise BadToken("service account token has expired")
    if now < float(claims.get("nbf", 0)) - LEEWAY_S:
        raise BadToken("service account token is not valid yet")
    return claims


def encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
