"""Who may use the kubelet's port: client certificates first, else the API server is asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sampan.api import kinds
from sampan.api.errors import ApiError
from sampan.api.meta import Json
from sampan.client.client import Client
from sampan.client.transport import Unreachable
from sampan.kubelet.settings import Server
from sampan.std.clock import Clock
from sampan.std.http import Request

MASTERS = "system:masters"
REMEMBER_S = 30.0
PUBLIC = ("/healthz",)
VERBS = {"GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "PATCH": "patch",
         "DELETE": "delete"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class User:
    name: str
    groups: tuple[str, ...] = ()


ANONYMOUS = User("system:anonymous", ("system:unauthenticated",))


class Gate:
    """One node's."""

    def __init__(self, client: Client, node: str, clock: Clock, wanted: Server) -> None:
        self.client, self.node, self.clock = client, node, clock
        self.wanted = wanted
        self._known: dict[tuple[Any, ...], tuple[float, Any]] = {}

    async def refusal(self, request: Request) -> tuple[int, str] | None:
        """Status and text, or None when the request may pass."""
        if request.path in PUBLIC:
            return None
        user = await self._user(request)
        if user is None:
            return 401, "Unauthorized"
        if self.wanted.always_allow or MASTERS in user.groups or await self._may(user, request):
            return None
        subresource = subresource_of(request.path)
        verb = VERBS.get(request.method, "get")
        text = f"user={user.name}, verb={verb}, resource=nodes, subresource={subresource}"
        return 403, f"Forbidden ({text})"

    async def _user(self, request: Request) -> User | None:
        if request.certificate is not None:
            return certified(request.certificate)
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token or not self.wanted.delegate:
            return ANONYMOUS if self.wanted.anonymous and not token else None
        key = ("token", token)
        known = self._remembered(key)
        if known is None:
            known = self._remember(key, await self._review(token))
        found: User | None = known[0]
        return found

    async def _review(self, token: str) -> User | None:
        body: Json = {"metadata": {}, "spec": {"token": token}}
        answer = await self._ask(
            kinds.TOKENREVIEWS, "authentication.k8s.io/v1", "TokenReview", body
        )
        status = answer.get("status") or {}
        if not status.get("authenticated"):
            return None
        user = status["user"]
        return User(user["username"], tuple(user.get("groups") or ()))

    async def _may(self, user: User, request: Request) -> bool:
        if not self.wanted.delegate:
            return False
        attributes = {
            "verb": VERBS.get(request.method, "get"),
            "version": "v1",
            "resource": "nodes",
            "subresource": subresource_of(request.path),
            "name": self.node,
        }
        key = ("may", user, *attributes.values())
        known = self._remembered(key)
        if known is None:
            body: Json = {
                "metadata": {},
                "spec": {
                    "user": user.name,
                    "groups": list(user.groups),
                    "resourceAttributes": attributes,
                },
            }
            kind = "SubjectAccessReview"
            rid = kinds.SUBJECTACCESSREVIEWS
            answer = await self._ask(rid, "authorization.k8s.io/v1", kind, body)
            known = self._remember(key, bool((answer.get("status") or {}).get("allowed")))
        return bool(known[0])

    async def _ask(self, rid: Any, version: str, kind: str, body: Json) -> Json:
        try:
            return await self.client.create(rid, {"apiVersion": version, "kind": kind, **body})
        except (ApiError, Unreachable):
            return {}

    def _remembered(self, key: tuple[Any, ...]) -> tuple[Any] | None:
        found = self._known.get(key)
        if found is None or found[0] < self.clock.monotonic():
            return None
        return (found[1],)

    def _remember(self, key: tuple[Any, ...], value: Any) -> tuple[Any]:
        now = self.clock.monotonic()
        self._known = {k: entry for k, entry in self._known.items() if entry[0] >= now}
        self._known[key] = (now + REMEMBER_S, value)
        return (value,)


def certified(certificate: bytes) -> User:
    """CN is the name, every O a group."""
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    subject = x509.load_der_x509_certificate(certificate).subject
    names = [str(a.value) for a in subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    groups = [str(a.value) for a in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
    return User(names[0] if names else "", tuple(groups))


def subresource_of(path: str) -> str:
    """The RBAC subresource of `nodes` that a path stands for."""
    for prefix, name in (("/stats", "stats"), ("/metrics", "metrics"), ("/logs", "log")):
        if path == prefix or path.startswith(prefix + "/"):
            return name
    return "proxy"
