"""The keys behind ServiceAccount tokens, EC or RSA: read from PEM, and the JOSE names of what they
do. The signing key of a cluster made by kubeadm or envtest is RSA.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from typing import Any

from sampan.api.meta import Json

CURVES = {"secp256r1": ("P-256", "ES256"), "secp384r1": ("P-384", "ES384"),
          "secp521r1": ("P-521", "ES512")}  # fmt: skip
BLOCK = re.compile(rb"-----BEGIN ([A-Z ]+)-----.*?-----END \1-----", re.DOTALL)


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """A public key; `key_id` stands in the header of its tokens, as upstream computes it."""

    public: Any
    key_id: str
    algorithm: str

    @property
    def width(self) -> int:
        """Bytes of one half of an EC signature."""
        size: int = (self.public.key_size + 7) // 8
        return size

    def jwk(self) -> Json:
        """As /openid/v1/jwks shows it."""
        numbers = self.public.public_numbers()
        shown = {"use": "sig", "kid": self.key_id, "alg": self.algorithm}
        if self.algorithm == "RS256":
            return {**shown, "kty": "RSA", "n": _number(numbers.n), "e": _number(numbers.e)}
        return {
            **shown, "kty": "EC", "crv": CURVES[self.public.curve.name][0],
            "x": encode(numbers.x.to_bytes(self.width, "big")),
            "y": encode(numbers.y.to_bytes(self.width, "big")),
        }  # fmt: skip

    def fits(self, data: bytes, signature: bytes) -> bool:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric import ec, padding
        from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

        digest = _digest(self.algorithm)
        try:
            if self.algorithm == "RS256":
                self.public.verify(signature, data, padding.PKCS1v15(), digest)
                return True
            if len(signature) != 2 * self.width:
                return False
            halves = signature[: self.width], signature[self.width :]
            der = encode_dss_signature(*(int.from_bytes(half, "big") for half in halves))
            self.public.verify(der, data, ec.ECDSA(digest))
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class SigningKey(VerifyingKey):
    """Both halves."""

    private: Any

    def sign(self, data: bytes) -> bytes:
        from cryptography.hazmat.primitives.asymmetric import ec, padding
        from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

        digest = _digest(self.algorithm)
        if self.algorithm == "RS256":
            signature: bytes = self.private.sign(data, padding.PKCS1v15(), digest)
            return signature
        r, s = decode_dss_signature(self.private.sign(data, ec.ECDSA(digest)))
        return r.to_bytes(self.width, "big") + s.to_bytes(self.width, "big")


def load_key(pem: bytes) -> SigningKey:
    """From a PEM private key. Raises ValueError when it is neither EC nor RSA."""
    from cryptography.hazmat.primitives import serialization

    private = serialization.load_pem_private_key(pem, None)
    found = _verifying(private.public_key())
    return SigningKey(found.public, found.key_id, found.algorithm, private)


def load_public_keys(pem: bytes) -> list[VerifyingKey]:
    """Every key of a file: public ones, private ones, those of certificates. Raises ValueError."""
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    found: list[VerifyingKey] = []
    for block in BLOCK.finditer(pem):
        kind, text = block[1], block[0]
        if kind.endswith(b"PRIVATE KEY"):
            found.append(load_key(text))
        elif kind == b"CERTIFICATE":
            found.append(_verifying(x509.load_pem_x509_certificate(text).public_key()))
        elif kind.endswith(b"PUBLIC KEY"):
            found.append(_verifying(serialization.load_pem_public_key(text)))
    if not found:
        raise ValueError("no key in PEM is in it")
    return found


def _verifying(public: Any) -> VerifyingKey:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    if isinstance(public, rsa.RSAPublicKey):
        algorithm = "RS256"
    elif isinstance(public, ec.EllipticCurvePublicKey) and public.curve.name in CURVES:
        algorithm = CURVES[public.curve.name][1]
    else:
        raise ValueError("service-account keys are RSA, or EC on P-256, P-384 or P-521")
    der = public.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return VerifyingKey(public, encode(hashlib.sha256(der).digest()), algorithm)


def _digest(algorithm: str) -> Any:
    from cryptography.hazmat.primitives import hashes

    digests: dict[str, Any] = {
        "256": hashes.SHA256, "384": hashes.SHA384, "512": hashes.SHA512,
    }  # fmt: skip
    return digests[algorithm[2:]]()


def _number(value: int) -> str:
    return encode(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
