"""The identity behind a request, and the names that upstream reserves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

ANONYMOUS = "system:anonymous"
UNAUTHENTICATED = "system:unauthenticated"
AUTHENTICATED = "system:authenticated"
MASTERS = "system:masters"
NODES = "system:nodes"
NODE_PREFIX = "system:node:"
SERVICE_ACCOUNT_PREFIX = "system:serviceaccount:"
SERVICE_ACCOUNTS = "system:serviceaccounts"
BOOTSTRAPPERS = "system:bootstrappers"


@dataclass(frozen=True, slots=True)
class User:
    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    audiences: tuple[str, ...] = ()
    """Of the token that proved the identity; empty where the proof has none."""

    @property
    def node(self) -> str:
        """The node's name where a kubelet speaks, else empty."""
        if NODES in self.groups and self.name.startswith(NODE_PREFIX):
            return self.name.removeprefix(NODE_PREFIX)
        return ""

    def info(self) -> dict[str, object]:
        """As reviews and webhooks show it (authentication.k8s.io UserInfo)."""
        shown: dict[str, object] = {"username": self.name}
        if self.uid:
            shown["uid"] = self.uid
        if self.groups:
            shown["groups"] = list(self.groups)
        if self.extra:
            shown["extra"] = {key: list(values) for key, values in self.extra.items()}
        return shown


NOBODY = User(ANONYMOUS, groups=(UNAUTHENTICATED,))


def known(user: User) -> User:
    """With the group of everyone who proved who they are."""
    if user.name == ANONYMOUS or AUTHENTICATED in user.groups or UNAUTHENTICATED in user.groups:
        return user
    return replace(user, groups=(*user.groups, AUTHENTICATED))


def service_account_user(namespace: str, name: str, uid: str = "") -> User:
    """The identity of a ServiceAccount, without the group that authentication adds."""
    return User(
        f"{SERVICE_ACCOUNT_PREFIX}{namespace}:{name}",
        uid,
        (SERVICE_ACCOUNTS, f"{SERVICE_ACCOUNTS}:{namespace}"),
    )


def split_service_account(name: str) -> tuple[str, str] | None:
    """Namespace and name behind `system:serviceaccount:`."""
    if not name.startswith(SERVICE_ACCOUNT_PREFIX):
        return None
    namespace, _, account = name.removeprefix(SERVICE_ACCOUNT_PREFIX).partition(":")
    return (namespace, account) if namespace and account else None
