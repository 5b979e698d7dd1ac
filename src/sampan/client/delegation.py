"""Who asks a component's own port, and what he may: the API server is asked (TokenReview and
SubjectAccessReview), and its answers are kept for a while.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sampan.api import kinds
from sampan.api.errors import ApiError
from sampan.api.meta import Json, ResourceId
from sampan.client.client import Client
from sampan.client.transport import Unreachable
from sampan.std.clock import Clock

MASTERS = "system:masters"
REMEMBER_S = 30.0
VERBS = {"GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "PATCH": "patch",
         "DELETE": "delete"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class User:
    name: str
    groups: tuple[str, ...] = ()


ANONYMOUS = User("system:anonymous", ("system:unauthenticated",))


class Delegation:
    """Asks through `reviewer` about tokens and through `authorizer` about rights."""

    def __init__(self, reviewer: Client, authorizer: Client, clock: Clock) -> None:
        self._reviewer, self._authorizer, self._clock = reviewer, authorizer, clock
        self._known: dict[tuple[Any, ...], tuple[float, Any]] = {}

    async def user_of(self, token: str) -> User | None:
        """The user behind a bearer token; None when it is good for nobody."""
        key = ("token", token)
        known = self._remembered(key)
        if known is None:
            known = self._remember(key, await self._review(token))
        found: User | None = known[0]
        return found

    async def may(
        self,
        user: User,
        *,
        resource: Mapping[str, str] | None = None,
        path: Mapping[str, str] | None = None,
    ) -> bool:
        """By resource attributes or by path and verb, as SubjectAccessReview has them."""
        if MASTERS in user.groups:
            return True
        key = ("may", user, *(resource or {}).items(), *(path or {}).items())
        known = self._remembered(key)
        if known is None:
            spec: Json = {"user": user.name, "groups": list(user.groups)}
            if resource is not None:
                spec["resourceAttributes"] = dict(resource)
            if path is not None:
                spec["nonResourceAttributes"] = dict(path)
            answer = await _ask(self._authorizer, kinds.SUBJECTACCESSREVIEWS, spec)
            known = self._remember(key, bool((answer.get("status") or {}).get("allowed")))
        return bool(known[0])

    async def _review(self, token: str) -> User | None:
        answer = await _ask(self._reviewer, kinds.TOKENREVIEWS, {"token": token})
        status = answer.get("status") or {}
        if not status.get("authenticated"):
            return None
        user = status["user"]
        return User(user["username"], tuple(user.get("groups") or ()))

    def _remembered(self, key: tuple[Any, ...]) -> tuple[Any] | None:
        found = self._known.get(key)
        if found is None or found[0] < self._clock.monotonic():
            return None
        return (found[1],)

    def _remember(self, key: tuple[Any, ...], value: Any) -> tuple[Any]:
        now = self._clock.monotonic()
        self._known = {k: entry for k, entry in self._known.items() if entry[0] >= now}
        self._known[key] = (now + REMEMBER_S, value)
        return (value,)


async def _ask(client: Client, rid: ResourceId, spec: Json) -> Json:
    """A server that does not answer has not said yes."""
    body: Json = {"apiVersion": rid.api_version, "kind": rid.kind, "metadata": {}, "spec": spec}
    try:
        return await client.create(rid, body)
    except (ApiError, Unreachable):
        return {}


def bearer(headers: Mapping[str, str]) -> str:
    """The token of an Authorization header; empty where there is none."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def certified(certificate: bytes) -> User:
    """CN is the name, every O a group."""
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    subject = x509.load_der_x509_certificate(certificate).subject
    names = [str(a.value) for a in subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    groups = [str(a.value) for a in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
    return User(names[0] if names else "", tuple(groups))
