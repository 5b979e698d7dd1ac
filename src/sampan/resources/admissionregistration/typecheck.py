"""What the type checker has to say about a ValidatingAdmissionPolicy: its expressions against the
kinds that it matches, told in the policy's status and without any other effect.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import NamedTuple, Protocol

from sampan.api.meta import Json
from sampan.resources.admissionregistration import expressions
from sampan.resources.admissionregistration.handed import NAMESPACE, REQUEST
from sampan.resources.cel import program, types
from sampan.resources.cel.types import DYN, Kind

MOST_KINDS = 10
"""So many kinds are checked, counted by rule."""


class Gvk(NamedTuple):
    group: str
    version: str
    kind: str

    def __str__(self) -> str:
        head = f"{self.group}/{self.version}" if self.group else f"/{self.version}"
        return f"{head}, Kind={self.kind}"


class Shapes(Protocol):
    """What the cluster serves."""

    def kinds(self, group: str, version: str, resource: str) -> Sequence[str]:
        """The kinds of a resource."""
        ...

    def shape(self, gvk: Gvk) -> Kind | None:
        """None where nothing is known about its fields."""
        ...


def warnings(policy: Json, shapes: Shapes) -> list[Json]:
    """The policy's `status.typeChecking.expressionWarnings`."""
    spec = policy["spec"]
    checked = [(gvk, shape) for gvk in matched(spec, shapes) if (shape := shapes.shape(gvk))]
    scopes = [(gvk, _scope(spec, shape, shapes)) for gvk, shape in checked]
    found = []
    for at, validation in enumerate(spec.get("validations") or ()):
        for field in ("expression", "messageExpression"):
            text = validation.get(field) or ""
            if text or field == "expression":
                told = _check(text, scopes)
                if told:
                    ref = f"spec.validations[{at}].{field}"
                    found.append({"fieldRef": ref, "warning": told})
    return found


def matched(spec: Json, shapes: Shapes) -> list[Gvk]:
    """The kinds to check, sorted. A rule with a `*` in its groups or versions says too little."""
    found: set[Gvk] = set()
    for rule in (spec.get("matchConstraints") or {}).get("resourceRules") or ():
        fresh = list(islice(_kinds(rule, shapes), MOST_KINDS))
        found.update(fresh)
        if len(fresh) == MOST_KINDS:
            break
    return sorted(found)


def _kinds(rule: Json, shapes: Shapes) -> Iterable[Gvk]:
    groups, versions = (sorted(rule.get(name) or ()) for name in ("apiGroups", "apiVersions"))
    if any("*" in text for text in (*groups, *versions)):
        return
    resources = sorted(r for r in rule.get("resources") or () if not set(r) & set("*/"))
    for group in groups:
        for version in versions:
            for resource in resources:
                for kind in shapes.kinds(group, version, resource):
                    yield Gvk(group, version, kind)


def _scope(spec: Json, shape: Kind, shapes: Shapes) -> dict[str, Kind]:
    known = {
        "object": shape, "oldObject": shape, "request": REQUEST, "namespaceObject": NAMESPACE,
        "authorizer": DYN,
    }  # fmt: skip
    params = spec.get("paramKind")
    if params is not None:
        group, _, version = params.get("apiVersion", "").rpartition("/")
        known["params"] = shapes.shape(Gvk(group, version, params.get("kind", ""))) or DYN
    variables = expressions.kinds_of(spec.get("variables") or (), known)
    return {**known, "variables": types.object_of(variables, "kubernetes.variables")}


def _check(text: str, scopes: Sequence[tuple[Gvk, Mapping[str, Kind]]]) -> str:
    found = []
    for gvk, scope in scopes:
        try:
            program.compile_expression(text, scope)
        except program.CompileError as error:
            found.append(f"{gvk}: {error}\n")
    return "\n".join(found)
