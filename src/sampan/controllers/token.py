"""Token Secrets: Secrets of type kubernetes.io/service-account-token are filled with a token of the
account that they name, and go with it. New clusters hardly need them (TokenRequest), old charts do.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

import orjson

from sampan.api import kinds
from sampan.api.errors import NotFound
from sampan.api.meta import Json, Key, key_of
from sampan.controllers.deps import Deps
from sampan.loop.component import Component
from sampan.loop.queue import Queue
from sampan.loop.reconciler import Controller

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

TYPE = "kubernetes.io/service-account-token"
NAME = "kubernetes.io/service-account.name"
UID = "kubernetes.io/service-account.uid"


def token(deps: Deps) -> Component:
    reconciler = TokenSecrets(deps)
    waits = (reconciler.secrets, reconciler.accounts)
    return Controller(reconciler, reconciler.queue, workers=2, wait_for=waits)


class TokenSecrets:
    """The reconciler; keys are Secrets."""

    name = "serviceaccount-token"

    def __init__(self, deps: Deps) -> None:
        self.queue: Queue[Key] = Queue(deps.clock)
        self._client = deps.client_of("service-account-controller")
        if deps.client_for is not None:
            # Upstream's tokens controller writes as the controller manager itself.
            self._client = deps.client
        self._settings = deps.settings
        self.secrets = deps.informers.of(
            kinds.SECRETS, fields=f"type={TYPE}", indexers={"account": _by_account}
        )
        self.accounts = deps.informers.of(kinds.SERVICEACCOUNTS)
        self.secrets.on_change(lambda old, new: self._wake(new))
        self.accounts.on_change(self._account_changed)

    async def reconcile(self, key: Key) -> float | None:
        secret = self.secrets.get(key)
        if secret is None or secret["metadata"].get("deletionTimestamp"):
            return None
        notes = secret["metadata"].get("annotations") or {}
        if NAME not in notes:
            return None
        account = await self._account(Key(key.namespace, notes[NAME]))
        uid = account["metadata"]["uid"] if account else ""
        if account is None or notes.get(UID, uid) != uid:
            await self._client.delete(
                kinds.SECRETS, key.name, key.namespace, uid=secret["metadata"]["uid"]
            )
            return None
        wished = self._filled(secret, account)
        if wished != secret:
            try:
                await self._client.update(kinds.SECRETS, wished)
            except NotFound:
                return None
        return None

    async def _account(self, key: Key) -> Json | None:
        """From the cache, or from the server before anything is deleted for its absence."""
        cached = self.accounts.get(key)
        if cached is not None:
            return cached
        return await self._client.find(kinds.SERVICEACCOUNTS, key.name, key.namespace)

    def _filled(self, secret: Json, account: Json) -> Json:
        meta = secret["metadata"]
        data = dict(secret.get("data") or {})
        wanted = {"namespace": _base64(meta["namespace"].encode())}
        if self._settings.root_ca:
            wanted["ca.crt"] = _base64(self._settings.root_ca.encode())
        data |= wanted
        if not data.get("token") and self._settings.service_account_key:
            claims = claims_for(account, meta["name"], self._settings.service_account_issuer)
            data["token"] = _base64(signed(self._settings.service_account_key, claims).encode())
        notes = {**(meta.get("annotations") or {}), UID: account["metadata"]["uid"]}
        return {**secret, "metadata": {**meta, "annotations": notes}, "data": data}

    def _wake(self, secret: Json | None) -> None:
        if secret is not None:
            self.queue.add(key_of(secret))

    def _account_changed(self, old: Json | None, new: Json | None) -> None:
        account = new or old or {}
        for secret in self.secrets.by("account", str(key_of(account))):
            self.queue.add(key_of(secret))


def claims_for(account: Json, secret: str, issuer: str) -> Json:
    """What a token without end says; it is good as long as its Secret is there."""
    meta = account["metadata"]
    prefix = "kubernetes.io/serviceaccount"
    return {
        "iss": issuer,
        f"{prefix}/namespace": meta["namespace"],
        f"{prefix}/secret.name": secret,
        f"{prefix}/service-account.name": meta["name"],
        f"{prefix}/service-account.uid": meta["uid"],
        "sub": f"system:serviceaccount:{meta['namespace']}:{meta['name']}",
    }


def signed(pem: bytes, claims: Json) -> str:
    """A JWT under an EC P-256 or RSA key."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = serialization.load_pem_private_key(pem, None)
    der = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    is_curve = isinstance(key, ec.EllipticCurvePrivateKey)
    header = {"alg": "ES256" if is_curve else "RS256", "kid": _url(hashlib.sha256(der).digest())}
    text = f"{_url(orjson.dumps(header))}.{_url(orjson.dumps(claims))}"
    return f"{text}.{_url(_signature(key, text.encode()))}"  # type: ignore[arg-type]


def _signature(key: EllipticCurvePrivateKey | RSAPrivateKey, data: bytes) -> bytes:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, padding
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

    if isinstance(key, ec.EllipticCurvePrivateKey):
        r, s = decode_dss_signature(key.sign(data, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")
    return key.sign(data, padding.PKCS1v15(), hashes.SHA256())


def _by_account(secret: Json) -> Iterable[str]:
    meta = secret["metadata"]
    name = (meta.get("annotations") or {}).get(NAME)
    return (f"{meta['namespace']}/{name}",) if name else ()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
