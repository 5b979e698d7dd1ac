"""NamespaceLifecycle: nothing new in a namespace that is not there or goes away."""

from __future__ import annotations

from sampan.api import kinds
from sampan.api.errors import NotFound
from sampan.apiserver.attempts import CREATE, DELETE, Attempt
from sampan.apiserver.cacher.cacher import Cacher

IMMORTAL = frozenset({"default", "kube-public", "kube-system"})
REVIEWS = "authorization.k8s.io"


class NamespaceLifecycle:
    def __init__(self, cacher: Cacher) -> None:
        self._namespaces = cacher.collection("", "namespaces")

    async def admit(self, attempt: Attempt) -> None:
        rid = attempt.id
        if rid.plural == "namespaces" and not rid.group:
            if attempt.operation == DELETE and attempt.name in IMMORTAL:
                raise attempt.forbid("this namespace may not be deleted")
            return
        if attempt.operation != CREATE or not attempt.namespace or rid.group == REVIEWS:
            return
        item = self._namespaces.get("", attempt.namespace)
        if item is None:
            raise NotFound.of(kinds.NAMESPACES, attempt.namespace)
        if b'"deletionTimestamp":"' not in item.body:
            return
        if item.decode()["metadata"].get("deletionTimestamp"):
            place = attempt.namespace
            error = attempt.forbid(
                f"unable to create new content in namespace {place} because it is being terminated"
            )
            cause = {
                "reason": "NamespaceTerminating",
                "message": f"namespace {place} is being terminated",
                "field": "metadata.namespace",
            }
            error.details = {**(error.details or {}), "causes": [cause]}
            raise error

    async def validate(self, attempt: Attempt) -> None:
        return
