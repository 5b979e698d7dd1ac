"""ServiceAccount tokens: JWTs under the keys of `keys`, made and read.

Whether account, pod, secret and node still exist is asked by `authn.accounts`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from sampan.api.meta import Json
from sampan.apiserver.authn.keys import SigningKey, VerifyingKey, decode, encode

LEEWAY_S = 10


class BadToken(Exception):
    """The token is of our kind, but not good; the message says why (for TokenReview only)."""


def sign(key: SigningKey, claims: Json) -> str:
    header = encode(orjson.dumps({"alg": key.algorithm, "kid": key.key_id}))
    signed = f"{header}.{encode(orjson.dumps(claims))}"
    return f"{signed}.{encode(key.sign(signed.encode()))}"


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
    """The claims of a token that one of the keys (by id) signed and that is valid now; without
    `exp` it is valid for ever. Raises BadToken.
    """
    head, payload, signature = token.split(".")
    try:
        header, raw = orjson.loads(decode(head)), decode(signature)
        claims: Any = orjson.loads(decode(payload))
    except ValueError as error:
        raise BadToken("the token is malformed") from error
    if not isinstance(header, dict) or not isinstance(claims, dict):
        raise BadToken("the token is malformed")
    signed = f"{head}.{payload}".encode()
    if not any(key.fits(signed, raw) for key in _candidates(keys, header)):
        raise BadToken("the signature does not fit")
    if "exp" in claims and now > float(claims["exp"]) + LEEWAY_S:
        raise BadToken("service account token has expired")
    if now < float(claims.get("nbf", 0)) - LEEWAY_S:
        raise BadToken("service account token is not valid yet")
    return claims


def _candidates(keys: Mapping[str, VerifyingKey], header: Json) -> Iterable[VerifyingKey]:
    """By the key's id; a token of old that names none may be of any of them. The algorithm is the
    key's own: what the token says is only compared.
    """
    named = str(header.get("kid") or "")
    choice = [keys[named]] if named in keys else [] if named else list(keys.values())
    found = [key for key in choice if key.algorithm == header.get("alg")]
    if not found:
        raise BadToken("the token is signed with a key that is not known")
    return found
