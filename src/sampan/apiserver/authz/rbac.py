"""Role based access control: roles and bindings, indexed by whom they speak of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sampan.api.meta import Json
from sampan.apiserver.authn.user import MASTERS, User
from sampan.apiserver.authz.attributes import NO_OPINION, Attributes, Decision
from sampan.apiserver.authz.rules import Rule, rules_of
from sampan.apiserver.cacher.cacher import Cacher
from sampan.apiserver.cacher.collection import Event

GROUP = "rbac.authorization.k8s.io"
DECISIONS_KEPT = 20_000

Subject = tuple[str, str]
"""("User" or "Group", name); a ServiceAccount is the user that it acts as."""


@dataclass(frozen=True, slots=True)
class Grant:
    """One subject of one binding."""

    binding: str
    namespace: str
    """Of the binding; empty for a ClusterRoleBinding."""
    role_kind: str
    role: str
    whom: str
    """`User "erin"`, as the reason says it."""

    @property
    def reason(self) -> str:
        if self.namespace:
            place = f'RoleBinding "{self.binding}/{self.namespace}"'
        else:
            place = f'ClusterRoleBinding "{self.binding}"'
        return f'RBAC: allowed by {place} of {self.role_kind} "{self.role}" to {self.whom}'


_Key = tuple[str, tuple[str, ...], str, str, str, str, str, str]
Place = tuple[str, str]
"""Namespace (empty at the cluster scope) and name of a role or binding."""


class Rbac:
    """Follows the four kinds; a decision that was made once is kept until one of them changes."""

    def __init__(self, cacher: Cacher) -> None:
        self._roles: dict[Place, tuple[Rule, ...]] = {}
        self._grants: dict[tuple[str, Subject], list[Grant]] = {}
        """By the namespace of the binding and the subject."""
        self._bindings: dict[Place, list[Subject]] = {}
        self._decisions: dict[_Key, Decision] = {}
        for plural, follow in (
            ("roles", self._role_changed),
            ("clusterroles", self._role_changed),
            ("rolebindings", self._binding_changed),
            ("clusterrolebindings", self._binding_changed),
        ):
            for item in cacher.collection(GROUP, plural).items():
                follow(Event(item.revision, item, None))
            cacher.listen(GROUP, plural, follow)

    # -- following

    def _role_changed(self, event: Event) -> None:
        subject = event.subject
        place = (subject.namespace, subject.name)
        if event.item is None:
            self._roles.pop(place, None)
        else:
            self._roles[place] = rules_of(event.item.decode())
        self._decisions.clear()

    def _binding_changed(self, event: Event) -> None:
        namespace, name = event.subject.namespace, event.subject.name
        for subject in self._bindings.pop((namespace, name), ()):
            grants = self._grants[(namespace, subject)]
            grants[:] = [grant for grant in grants if grant.binding != name]
        if event.item is not None:
            binding = event.item.decode()
            found = [
                self._bind(namespace, name, binding["roleRef"], subject)
                for subject in binding.get("subjects") or ()
            ]
            self._bindings[(namespace, name)] = list(dict.fromkeys(found))
        self._decisions.clear()

    def _bind(self, namespace: str, name: str, ref: Json, subject: Json) -> Subject:
        kind, who = subject["kind"], subject["name"]
        whom = f'{kind} "{who}"'
        if kind == "ServiceAccount":
            space = subject.get("namespace") or namespace
            kind, whom = "User", f'{kind} "{who}/{space}"'
            who = f"system:serviceaccount:{space}:{who}"
        grant = Grant(name, namespace, ref["kind"], ref["name"], whom)
        self._grants.setdefault((namespace, (kind, who)), []).append(grant)
        return kind, who

    # -- deciding

    def decide(self, asked: Attributes) -> Decision:
        user = asked.user
        key = (
            user.name, user.groups, asked.verb, asked.group, asked.full_resource, asked.namespace,
            asked.name, asked.path,
        )  # fmt: skip
        found = self._decisions.get(key)
        if found is None:
            if len(self._decisions) >= DECISIONS_KEPT:
                self._decisions.clear()
            found = self._decisions[key] = self._decide(asked)
        return found

    def _decide(self, asked: Attributes) -> Decision:
        if MASTERS in asked.user.groups:
            return Decision(True)
        missing = []
        for grant in self.grants(asked.user, asked.namespace):
            rules = self.role(grant)
            if rules is None:
                kind = grant.role_kind.lower()
                missing.append(f'{kind}.{GROUP} "{grant.role}" not found')
            elif any(rule.allows(asked) for rule in rules):
                return Decision(True, grant.reason)
        if not missing:
            return NO_OPINION
        text = missing[0] if len(missing) == 1 else "[" + ", ".join(missing) + "]"
        return Decision(False, f"RBAC: {text}")

    def grants(self, user: User, namespace: str) -> Iterator[Grant]:
        """Everything bound to the user: at the cluster scope first, then in the namespace."""
        subjects = [("User", user.name), *(("Group", group) for group in user.groups)]
        for space in ("", namespace) if namespace else ("",):
            for subject in subjects:
                yield from self._grants.get((space, subject), ())

    def role(self, grant: Grant) -> tuple[Rule, ...] | None:
        space = grant.namespace if grant.role_kind == "Role" else ""
        return self._roles.get((space, grant.role))

    def role_rules(self, namespace: str, name: str) -> tuple[Rule, ...] | None:
        """The rules of a Role, or of a ClusterRole where the namespace is empty."""
        return self._roles.get((namespace, name))

    def rules(self, user: User, namespace: str) -> list[Rule]:
        """All that a user may do in a namespace (escalation checks)."""
        if MASTERS in user.groups:
            everything = (Rule(("*",), ("*",), ("*",)), Rule(("*",), paths=("*",)))
            return list(everything)
        return self.bound(user, namespace)

    def bound(self, user: User, namespace: str) -> list[Rule]:
        """The rules of all roles bound to a user (SelfSubjectRulesReview): administrators are asked
        no roles, but are shown theirs like everybody.
        """
        return [rule for grant in self.grants(user, namespace) for rule in self.role(grant) or ()]
