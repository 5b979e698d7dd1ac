"""x-kubernetes-validations: rules in CEL, compiled once per version and run for every write."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sampan.api.errors import OMITTED, FieldError
from sampan.api.meta import Json
from sampan.resources import rules
from sampan.resources.cel import program, types
from sampan.resources.cel.program import EvaluationError, Program
from sampan.resources.cel.values import NOTHING, Optional
from sampan.resources.custom import celtypes
from sampan.resources.custom.checks import MISSING, NOWHERE, correlated
from sampan.resources.rules import Errors

VALIDATIONS = "x-kubernetes-validations"
_OLD = re.compile(r"\boldSelf\b")
_BLOCKING = ("NotSupported", "Required", "TooLong", "TooMany", "TypeInvalid")
_REASONS = {
    "FieldValueForbidden": "Forbidden",
    "FieldValueRequired": "Required",
    "FieldValueDuplicate": "Duplicate",
}


@dataclass(frozen=True, slots=True)
class Rule:
    """One compiled rule."""

    spec: Json
    test: Program
    message: Program | None
    transition: bool

    @property
    def source(self) -> str:
        """What messages call the rule."""
        return str(self.spec.get("message") or self.spec["rule"]).strip()


@dataclass(slots=True)
class Tree:
    """The rules of a schema and of what is below it; only branches that have any."""

    schema: Json
    root: bool = False
    rules: list[Rule] = field(default_factory=list)
    properties: dict[str, Tree] = field(default_factory=dict)
    items: Tree | None = None
    values: Tree | None = None


def is_transition(rule: str) -> bool:
    return _OLD.search(rule) is not None


def variables(schema: Json, rule: Json, *, root: bool) -> dict[str, types.Kind]:
    kind = celtypes.kind_of(schema, root=root)
    old = types.optional_of(kind) if rule.get("optionalOldSelf") else kind
    return {"self": kind, "oldSelf": old}


def compiled(schema: Json, *, root: bool = True) -> Tree | None:
    """The tree, None where there are no rules at all. The rules were checked when the definition
    was written; one that does not compile any more is left out.
    """
    tree = Tree(schema, root)
    for spec in schema.get(VALIDATIONS) or ():
        try:
            tree.rules.append(_rule(schema, spec, root=root))
        except program.CompileError:
            continue
    for name, below in (schema.get("properties") or {}).items():
        branch = compiled(below, root=False)
        if branch is not None:
            tree.properties[name] = branch
    items, values = schema.get("items"), schema.get("additionalProperties")
    tree.items = compiled(items, root=False) if isinstance(items, dict) else None
    tree.values = compiled(values, root=False) if isinstance(values, dict) else None
    return tree if tree.rules or tree.properties or tree.items or tree.values else None


def _rule(schema: Json, spec: Json, *, root: bool) -> Rule:
    names = variables(schema, spec, root=root)
    test = program.compile_expression(spec["rule"], names)
    text = spec.get("messageExpression")
    message = program.compile_expression(text, names) if text else None
    return Rule(spec, test, message, is_transition(spec["rule"]))


def check(value: Json, tree: Tree | None, old: Any, so_far: Errors) -> Errors:
    """Run the rules; after errors of other kinds that would only mislead them, say so instead."""
    if tree is None:
        return []
    if any(error.type in _BLOCKING for error in so_far):
        says = (
            "some validation rules were not checked because the object was invalid; "
            "correct the existing errors to complete validation"
        )
        return rules.invalid(NOWHERE, None, says)
    return _check(value, tree, "", old)


def of_default(value: Any, schema: Json, *, root: bool) -> Errors:
    """A default is taken for both the old and the new value, and no rule is spared."""
    tree = compiled(schema, root=root)
    return _check(value, tree, "", value, same=None) if tree is not None else []


def spared(new: Json, tree: Tree | None, old: Json) -> Errors:
    """What rules say of what is as it was before: no reason to refuse, but worth a warning."""
    return _check(new, tree, "", old, among_spared=True) if tree is not None else []


def _check(
    value: Any, tree: Tree, path: str, old: Any, *,
    same: bool | None = False, among_spared: bool = False,
) -> Errors:  # fmt: skip
    """`same`: nothing changed here or above, so only rules about the old value still count; None
    where all rules count in any case. `among_spared` runs the others instead.
    """
    if value is None:
        return []
    if same is False:
        same = old is not MISSING and old == value
    errors: Errors = []
    if tree.rules:
        seen = celtypes.value_of(value, tree.schema, root=tree.root)
        before = MISSING
        if old is not MISSING and old is not None:
            before = celtypes.value_of(old, tree.schema, root=tree.root)
        for rule in tree.rules:
            counts = rule.transition or not same
            if counts != among_spared:
                errors += _run(rule, _Place(tree.schema, path, value), seen, before)

    def further(item: Any, branch: Tree, where: str, was: Any) -> Errors:
        return _check(item, branch, where, was, same=same, among_spared=among_spared)

    return errors + _below(value, tree, path, old, further)


def _below(
    value: Any, tree: Tree, path: str, old: Any, further: Callable[[Any, Tree, str, Any], Errors]
) -> Errors:
    errors: Errors = []
    if isinstance(value, dict):
        before = old if isinstance(old, dict) else {}
        for name, item in value.items():
            branch = tree.properties.get(name) or tree.values
            if branch is not None:
                here = f"{path}.{name}" if name in tree.properties else f"{path}[{name}]"
                errors += further(item, branch, here.lstrip("."), before.get(name, MISSING))
    if isinstance(value, list) and tree.items is not None:
        of = correlated(value, old, tree.schema)
        for at, item in enumerate(value):
            errors += further(item, tree.items, f"{path}[{at}]", of(at))
    return errors


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a rule is run, and on which value as JSON."""

    schema: Json
    path: str
    value: Any

    @property
    def kind(self) -> str:
        return str(self.schema.get("type", ""))


def _run(rule: Rule, place: _Place, value: Any, old: Any) -> Errors:
    optional = bool(rule.spec.get("optionalOldSelf"))
    if rule.transition and old is MISSING and not optional:
        return []
    names = {"self": value}
    if optional:
        names["oldSelf"] = NOTHING if old is MISSING else Optional(old, present=True)
    elif old is not MISSING:
        names["oldSelf"] = old
    try:
        if rule.test.run(names) is True:
            return []
    except EvaluationError as error:
        return rules.invalid(place.path or NOWHERE, place.kind, _failure(str(error), rule))
    return [_broken(rule, place, names)]


def _failure(error: str, rule: Rule) -> str:
    if error.startswith("no such overload"):
        return (
            f"'{error}': call arguments did not match a supported operator, function or macro "
            f"signature for rule: {rule.source}"
        )
    if error.startswith("operation cancelled"):
        return (
            f"'{error}': no further validation rules will be run due to call cost exceeds limit "
            f"for rule: {rule.source}"
        )
    return f"{error} evaluating rule: {rule.source}"


def _broken(rule: Rule, place: _Place, names: Json) -> FieldError:
    where = f"{place.path}{rule.spec.get('fieldPath', '')}".lstrip(".") or NOWHERE
    reason = _REASONS.get(rule.spec.get("reason", ""), "Invalid")
    value = OMITTED if place.kind in ("object", "array") else place.value
    return FieldError(reason, where, value, "" if reason == "Duplicate" else _message(rule, names))


def _message(rule: Rule, names: Json) -> str:
    """A message expression that fails or says nothing leaves the plain message."""
    if rule.message is not None:
        try:
            text = rule.message.run(names)
        except EvaluationError:
            text = ""
        if isinstance(text, str) and text.strip() and "\n" not in text:
            return text.strip()
    plain = str(rule.spec.get("message", "")).strip()
    return plain or f"failed rule: {str(rule.spec['rule']).strip()}"
