"""The chain of authorizers, and the refusals that come out of it."""

from __future__ import annotations

from sampan.apiserver.authn.user import MASTERS, User
from sampan.apiserver.authz.attributes import Attributes, Decision, refusal
from sampan.apiserver.authz.node import NodeAuthorizer
from sampan.apiserver.authz.rbac import Rbac


class Authorizer:
    """Node, then RBAC, as `--authorization-mode=Node,RBAC`."""

    def __init__(self, node: NodeAuthorizer, rbac: Rbac) -> None:
        self.node = node
        self.rbac = rbac

    def decide(self, asked: Attributes) -> Decision:
        """Yes from the first that says so; otherwise no, with everyone's reasons."""
        if MASTERS in asked.user.groups:
            return Decision(True)
        first = self.node.decide(asked) if asked.user.node else None
        if first is not None and first.allowed:
            return first
        second = self.rbac.decide(asked)
        if second.allowed or first is None or not first.reason:
            return second
        reasons = [first.reason, second.reason] if second.reason else [first.reason]
        return Decision(False, ", ".join(reasons))

    def require(self, asked: Attributes) -> None:
        """Raises Forbidden in upstream's words."""
        decision = self.decide(asked)
        if not decision.allowed:
            raise refusal(asked, decision.reason)

    def may_impersonate(
        self, user: User, group: str, resource: str, subresource: str, namespace: str, name: str
    ) -> None:
        """Raises Forbidden unless the user may act as that subject."""
        self.require(Attributes(user, "impersonate", group, resource, subresource, namespace, name))
