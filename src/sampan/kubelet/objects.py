"""ConfigMaps, Secrets and tokens that pods refer to: asked by name, kept for a moment.

A node may read only what its own pods name, one by one (the Node authorizer), so there is no watch
over all of them; what volumes show is asked again every minute.
"""

from __future__ import annotations

from dataclasses import dataclass

from sampan.api import kinds
from sampan.api.errors import ApiError
from sampan.api.meta import Json, ResourceId
from sampan.client.client import Client
from sampan.client.transport import Unreachable
from sampan.kubelet.pods import time_of
from sampan.std.clock import Clock

FRESH_S = 5.0
MAX_TOKEN_AGE_S = 24 * 3600
RIDS: dict[str, ResourceId] = {"ConfigMap": kinds.CONFIGMAPS, "Secret": kinds.SECRETS}


class VolumeFailure(Exception):
    """What a pod refers to cannot be had now; the message is for an event; it is tried again."""


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """A service account token that a volume wants."""

    audience: str
    expiration_s: int


@dataclass(frozen=True, slots=True)
class _Kept:
    value: Json | None
    at: float


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    issued: float
    expires: float


class Objects:
    """One node's view."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self.client, self.clock = client, clock
        self._kept: dict[tuple[str, str, str], _Kept] = {}
        self._tokens: dict[tuple[str, TokenRequest], _Token] = {}

    async def get(self, kind: str, namespace: str, name: str) -> Json | None:
        """The object, None where there is none. Raises VolumeFailure."""
        key, now = (kind, namespace, name), self.clock.monotonic()
        kept = self._kept.get(key)
        if kept is not None and kept.value is not None and now - kept.at < FRESH_S:
            return kept.value
        try:
            found = await self.client.find(RIDS[kind], name, namespace)
        except (ApiError, Unreachable) as error:
            raise VolumeFailure(f'{kind.lower()} "{name}": {error}') from error
        if found is not None:
            found.setdefault("kind", kind)
        self._kept[key] = _Kept(found, now)
        return found

    async def token(self, pod: Json, wanted: TokenRequest) -> str:
        """A token of the pod's service account, bound to the pod; renewed in time."""
        key, now = (pod["metadata"]["uid"], wanted), self.clock.now()
        kept = self._tokens.get(key)
        if kept is not None and not _is_due(kept, now):
            return kept.text
        try:
            made = await self._request(pod, wanted)
        except (ApiError, Unreachable) as error:
            if kept is not None and now < kept.expires:
                return kept.text
            raise VolumeFailure(f"failed to fetch token: {error}") from error
        status = made["status"]
        expires = time_of(status.get("expirationTimestamp")) or now + wanted.expiration_s
        self._tokens[key] = _Token(status["token"], now, expires)
        return str(status["token"])

    def forget(self, uid: str) -> None:
        """The pod is gone; so are its tokens and what nobody has asked for lately."""
        self._tokens = {key: value for key, value in self._tokens.items() if key[0] != uid}
        limit = self.clock.monotonic() - FRESH_S
        self._kept = {key: kept for key, kept in self._kept.items() if kept.at >= limit}

    async def _request(self, pod: Json, wanted: TokenRequest) -> Json:
        meta = pod["metadata"]
        spec: Json = {
            "audiences": [wanted.audience] if wanted.audience else [],
            "expirationSeconds": wanted.expiration_s,
            "boundObjectRef": {
                "kind": "Pod",
                "apiVersion": "v1",
                "name": meta["name"],
                "uid": meta["uid"],
            },
        }
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        account = pod["spec"].get("serviceAccountName") or "default"
        return await self.client.create(
            kinds.SERVICEACCOUNTS,
            {**body, "metadata": {}},
            namespace=meta["namespace"],
            name=account,
            subresource="token",
        )


def _is_due(token: _Token, now: float) -> bool:
    """At four fifths of its life, or after a day."""
    life = token.expires - token.issued
    return now > token.issued + min(life * 0.8, MAX_TOKEN_AGE_S)
