"""RBAC's own rule: nobody gives away what they do not hold (upstream: policybased storage).

The verbs `escalate` (on roles) and `bind` (on a role, for bindings) lift it, and the superusers'
group is above it.
"""

from __future__ import annotations

from collections.abc import Sequence

from sampan.api.errors import NotFound
from sampan.api.meta import Json
from sampan.apiserver.attempts import CREATE, UPDATE, Attempt, Kinds
from sampan.apiserver.authn.user import MASTERS
from sampan.apiserver.authz.attributes import Attributes
from sampan.apiserver.authz.authorizer import Authorizer
from sampan.apiserver.authz.rbac import GROUP
from sampan.apiserver.authz.rules import Rule, not_covered, rules_of

ROLES = ("roles", "clusterroles")
BINDINGS = ("rolebindings", "clusterrolebindings")
EVERYTHING = (Rule(("*",), ("*",), ("*",)), Rule(("*",), paths=("*",)))


class RbacEscalation:
    kinds: Kinds = frozenset({*((GROUP, plural) for plural in (*ROLES, *BINDINGS))})

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    async def admit(self, attempt: Attempt) -> None:
        return

    async def validate(self, attempt: Attempt) -> None:
        if attempt.id.group != GROUP or attempt.operation not in (CREATE, UPDATE):
            return
        if attempt.obj is None or MASTERS in attempt.user.groups:
            return
        if attempt.id.plural in ROLES:
            self._role(attempt, attempt.obj, attempt.old)
        elif attempt.id.plural in BINDINGS:
            self._binding(attempt, attempt.obj, attempt.old)

    def _role(self, attempt: Attempt, role: Json, old: Json | None) -> None:
        same = old is not None and all(
            role.get(key) == old.get(key) for key in ("rules", "aggregationRule")
        )
        if same or self._may(
            attempt, "escalate", attempt.id.plural, attempt.namespace, attempt.name
        ):
            return
        rule = role.get("aggregationRule")
        new_rule = rule and rule != (old or {}).get("aggregationRule")
        if new_rule and not_covered(self._held(attempt), EVERYTHING):
            raise attempt.forbid("must have cluster-admin privileges to use the aggregationRule")
        self._require(attempt, rules_of(role))

    def _binding(self, attempt: Attempt, binding: Json, old: Json | None) -> None:
        ref = binding["roleRef"]
        if old is not None and (ref, binding.get("subjects")) == (
            old["roleRef"],
            old.get("subjects"),
        ):
            return
        cluster = ref["kind"] == "ClusterRole"
        plural = "clusterroles" if cluster else "roles"
        if self._may(attempt, "bind", plural, attempt.namespace, ref["name"]):
            return
        rules = self._authorizer.rbac.role_rules("" if cluster else attempt.namespace, ref["name"])
        if rules is None:
            raise NotFound.of(attempt.id, ref["name"])  # upstream names what is written
        self._require(attempt, rules)

    def _may(self, attempt: Attempt, verb: str, plural: str, namespace: str, name: str) -> bool:
        asked = Attributes(
            attempt.user, verb, GROUP, plural, namespace=namespace, name=name, version="v1"
        )
        return self._authorizer.decide(asked).allowed

    def _held(self, attempt: Attempt) -> list[Rule]:
        return self._authorizer.rbac.rules(attempt.user, attempt.namespace)

    def _require(self, attempt: Attempt, wanted: Sequence[Rule]) -> None:
        missing = not_covered(self._held(attempt), wanted)
        if not missing:
            return
        user = attempt.user
        groups = "[" + " ".join(f'"{group}"' for group in user.groups) + "]"
        listed = "\n".join(rule.text() for rule in sorted(missing, key=Rule.text))
        raise attempt.forbid(
            f'user "{user.name}" (groups={groups}) is attempting to grant RBAC permissions not '
            f"currently held:\n{listed}"
        )
