"""The chain of authorizers, and the refusals that come out of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sampan.apiserver.authn.user import MASTERS
from sampan.apiserver.authz.attributes import NO_OPINION, Attributes, Decision, refusal
from sampan.apiserver.authz.node import NodeAuthorizer
from sampan.apiserver.authz.rbac import Rbac

MODES = ("Node", "RBAC", "AlwaysAllow", "AlwaysDeny")
EVERYBODY = Decision(True)
NOBODY = Decision(False, "Everything is forbidden.")


class Authorizer:
    """The authorizers of `--authorization-mode`, in its order; Node and RBAC unless told else."""

    def __init__(
        self, node: NodeAuthorizer, rbac: Rbac, modes: Sequence[str] = ("Node", "RBAC")
    ) -> None:
        self.node = node
        self.rbac = rbac
        ways: dict[str, Callable[[Attributes], Decision]] = {
            "Node": self._of_node,
            "RBAC": rbac.decide,
            "AlwaysAllow": lambda asked: EVERYBODY,
            "AlwaysDeny": lambda asked: NOBODY,
        }
        self._ways = [ways[mode] for mode in modes]
        self.by_node = "Node" in modes

    def decide(self, asked: Attributes) -> Decision:
        """Yes from the first that says so; otherwise no, with everyone's reasons."""
        if MASTERS in asked.user.groups:
            return EVERYBODY
        reasons = []
        for way in self._ways:
            decision = way(asked)
            if decision.allowed:
                return decision
            if decision.reason:
                reasons.append(decision.reason)
        return Decision(False, ", ".join(reasons))

    def _of_node(self, asked: Attributes) -> Decision:
        return self.node.decide(asked) if asked.user.node else NO_OPINION

    def require(self, asked: Attributes) -> None:
        """Raises Forbidden in upstream's words."""
        decision = self.decide(asked)
        if not decision.allowed:
            raise refusal(asked, decision.reason)
