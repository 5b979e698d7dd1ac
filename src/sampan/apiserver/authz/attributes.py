"""The question that an authorizer is asked, the answer it gives, and the words of a refusal."""

from __future__ import annotations

from dataclasses import dataclass

from sampan.api.errors import Forbidden
from sampan.api.meta import Json
from sampan.apiserver.authn.user import User
from sampan.apiserver.request import RequestInfo


@dataclass(frozen=True, slots=True)
class Attributes:
    """`path` is set, and nothing else about a resource, where a plain path is asked for."""

    user: User
    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""
    version: str = ""
    fields: str = ""
    """The field selector, as it was sent."""

    @property
    def full_resource(self) -> str:
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


@dataclass(frozen=True, slots=True)
class Decision:
    allowed: bool
    reason: str = ""


NO_OPINION = Decision(False)


def attributes_of(user: User, info: RequestInfo) -> Attributes:
    if not info.resource_request:
        return Attributes(user, info.verb, path=info.path)
    return Attributes(
        user, info.verb, info.group, info.resource, info.subresource, info.namespace, info.name,
        version=info.version, fields=info.fields,
    )  # fmt: skip


def refusal(asked: Attributes, reason: str) -> Forbidden:
    """`pods is forbidden: User "u" cannot list resource "pods" in API group "" ...`."""
    text = cannot(asked)
    if asked.path:
        message = f"forbidden: {text}"
        details: Json = {}
    else:
        qualified = f"{asked.resource}.{asked.group}" if asked.group else asked.resource
        subject = f'{qualified} "{asked.name}"' if asked.name else qualified
        message = f"{subject} is forbidden: {text}"
        details = {"name": asked.name} if asked.name else {}
        if asked.group:
            details["group"] = asked.group
        details["kind"] = asked.resource
    if reason:
        message += f": {reason}"
    return Forbidden(message, details=details, headers={"x-content-type-options": "nosniff"})


def cannot(asked: Attributes) -> str:
    """`User "u" cannot ...`, without what it is about."""
    who = f'User "{asked.user.name}" cannot {asked.verb}'
    if asked.path:
        return f'{who} path "{asked.path}"'
    where = f'in the namespace "{asked.namespace}"' if asked.namespace else "at the cluster scope"
    return f'{who} resource "{asked.full_resource}" in API group "{asked.group}" {where}'
