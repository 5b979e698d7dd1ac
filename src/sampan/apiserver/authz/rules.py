"""RBAC policy rules: what one covers, and whether some cover another (escalation)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sampan.api.meta import Json
from sampan.apiserver.authz.attributes import Attributes

ALL = "*"


@dataclass(frozen=True, slots=True)
class Rule:
    """A PolicyRule with its lists as tuples, in the order in which they were written."""

    verbs: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()

    def allows(self, asked: Attributes) -> bool:
        if ALL not in self.verbs and asked.verb not in self.verbs:
            return False
        if asked.path:
            return any(path_covers(path, asked.path) for path in self.paths)
        return (
            (ALL in self.groups or asked.group in self.groups)
            and self._covers_resource(asked.resource, asked.subresource)
            and (not self.names or asked.name in self.names)
        )

    def _covers_resource(self, resource: str, subresource: str) -> bool:
        if ALL in self.resources:
            return True
        if not subresource:
            return resource in self.resources
        return f"{resource}/{subresource}" in self.resources or (
            f"*/{subresource}" in self.resources
        )

    def covers(self, other: Rule) -> bool:
        """Whether holding this rule is at least as much as holding an atomic other."""
        if ALL not in self.verbs and not set(other.verbs) <= set(self.verbs):
            return False
        if other.paths:
            return all(any(path_covers(mine, path) for mine in self.paths) for path in other.paths)
        if ALL not in self.groups and not set(other.groups) <= set(self.groups):
            return False
        if not all(self._covers_full(resource) for resource in other.resources):
            return False
        if not self.names:
            return True
        return bool(other.names) and set(other.names) <= set(self.names)

    def _covers_full(self, full: str) -> bool:
        if ALL in self.resources or full in self.resources:
            return True
        _, _, subresource = full.partition("/")
        return bool(subresource) and f"*/{subresource}" in self.resources

    def atoms(self) -> Iterator[Rule]:
        """The rule as single grants, which is how escalation is judged."""
        for verb in self.verbs:
            for path in self.paths:
                yield Rule(verbs=(verb,), paths=(path,))
            for group in self.groups:
                for resource in self.resources:
                    for name in self.names or ("",):
                        yield Rule((verb,), (group,), (resource,), (name,) if name else ())

    def to_json(self) -> Json:
        shown: Json = {"verbs": list(self.verbs)}
        pairs = (
            ("apiGroups", self.groups), ("resources", self.resources),
            ("resourceNames", self.names), ("nonResourceURLs", self.paths),
        )  # fmt: skip
        shown.update({key: list(values) for key, values in pairs if values})
        return shown

    def text(self) -> str:
        """`{APIGroups:[""], Resources:["pods"], Verbs:["get"]}`, as upstream prints it."""
        pairs = (
            ("APIGroups", self.groups), ("Resources", self.resources),
            ("ResourceNames", self.names), ("NonResourceURLs", self.paths), ("Verbs", self.verbs),
        )  # fmt: skip
        shown = [
            f"{key}:[{' '.join(_quoted(value) for value in values)}]"
            for key, values in pairs
            if values
        ]
        return "{" + ", ".join(shown) + "}"


def rules_of(role: Json) -> tuple[Rule, ...]:
    return tuple(rule_of(rule) for rule in role.get("rules") or ())


def rule_of(rule: Json) -> Rule:
    def part(key: str) -> tuple[str, ...]:
        return tuple(rule.get(key) or ())

    return Rule(
        part("verbs"), part("apiGroups"), part("resources"), part("resourceNames"),
        part("nonResourceURLs"),
    )  # fmt: skip


def path_covers(pattern: str, path: str) -> bool:
    if pattern in (ALL, path):
        return True
    return pattern.endswith(ALL) and path.startswith(pattern[:-1])


def not_covered(owned: Iterable[Rule], wanted: Iterable[Rule]) -> list[Rule]:
    """The single grants among `wanted` that none of `owned` holds, compacted again."""
    held = list(owned)
    missing = [
        atom
        for rule in wanted
        for atom in rule.atoms()
        if not any(mine.covers(atom) for mine in held)
    ]
    return compact(missing)


def compact(rules: Iterable[Rule]) -> list[Rule]:
    """Grants that differ in nothing but the verb become one rule."""
    found: dict[tuple[tuple[str, ...], ...], list[str]] = {}
    for rule in rules:
        key = (rule.groups, rule.resources, rule.names, rule.paths)
        verbs = found.setdefault(key, [])
        verbs += [verb for verb in rule.verbs if verb not in verbs]
    return [
        Rule(tuple(verbs), groups, resources, names, paths)
        for (groups, resources, names, paths), verbs in found.items()
    ]


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
