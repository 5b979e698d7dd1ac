"""Who may use the kubelet's port: client certificates first, else the API server is asked."""

from __future__ import annotations

from sampan.client.client import Client
from sampan.client.delegation import (
    ANONYMOUS,
    MASTERS,
    VERBS,
    Delegation,
    User,
    bearer,
    certified,
)
from sampan.kubelet.settings import Server
from sampan.std.clock import Clock
from sampan.std.http import Request

PUBLIC = ("/healthz",)


class Gate:
    """One node's."""

    def __init__(self, client: Client, node: str, clock: Clock, wanted: Server) -> None:
        self.node, self.wanted = node, wanted
        self._delegation = Delegation(client, client, clock)

    async def refusal(self, request: Request) -> tuple[int, str] | None:
        """Status and text, or None when the request may pass."""
        if request.path in PUBLIC:
            return None
        user = await self._user(request)
        if user is None:
            return 401, "Unauthorized"
        if self.wanted.always_allow or MASTERS in user.groups or await self._may(user, request):
            return None
        subresource = subresources_of(request.path)[-1]
        verb = VERBS.get(request.method, "get")
        text = f"user={user.name}, verb={verb}, resource=nodes, subresource={subresource}"
        return 403, f"Forbidden ({text})"

    async def _user(self, request: Request) -> User | None:
        if request.certificate is not None:
            return certified(request.certificate)
        token = bearer(request.headers)
        if not token or not self.wanted.delegate:
            return ANONYMOUS if self.wanted.anonymous and not token else None
        return await self._delegation.user_of(token)

    async def _may(self, user: User, request: Request) -> bool:
        if not self.wanted.delegate:
            return False
        attributes = {
            "verb": VERBS.get(request.method, "get"),
            "version": "v1",
            "resource": "nodes",
            "name": self.node,
        }
        for subresource in subresources_of(request.path):
            asked = {**attributes, "subresource": subresource}
            if await self._delegation.may(user, resource=asked):
                return True
        return False


ALONE = (("/stats", "stats"), ("/metrics", "metrics"), ("/logs", "log"))
FINE = (
    ("/pods", "pods"), ("/runningpods", "pods"), ("/healthz", "healthz"), ("/configz", "configz"),
    ("/statusz", "statusz"), ("/flagz", "flagz"),
)  # fmt: skip


def subresources_of(path: str) -> tuple[str, ...]:
    """The RBAC subresources of `nodes` that a path stands for, each of which is enough: the fine
    ones, and `proxy`, which opens everything else.
    """
    for prefix, name in (*ALONE, *FINE):
        if path == prefix or path.startswith(prefix + "/"):
            return (name,) if (prefix, name) in ALONE else (name, "proxy")
    return ("proxy",)
