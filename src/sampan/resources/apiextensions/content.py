"""What a structural schema says beyond its structure: defaults that fit, rules that compile."""

from __future__ import annotations

import re
from collections.abc import Mapping

from sampan.api.errors import FieldError
from sampan.api.meta import Json
from sampan.resources import rules
from sampan.resources.apiextensions import costs, gotext
from sampan.resources.apiextensions.structural import EMBEDDED, INT_OR_STRING
from sampan.resources.cel import program, types
from sampan.resources.custom import checks, embedded, validations
from sampan.resources.custom.prune import prune
from sampan.resources.rules import Errors

_NEWLINES = re.compile(r"[\n\r]")
_STEP = re.compile(r"(\.([A-Za-z_][\w-]*)|\['([^']+)'\])")
_REASONS = [
    "FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired",
]  # fmt: skip


def defaults(schema: Json, path: str, *, root: bool = True) -> Errors:
    """Defaults must be values that the schema takes as they are."""
    errors = rules.none()
    if "default" in schema:
        errors += _default(schema, f"{path}.default", root=root)
    for _, below, here in _below(schema, path):
        errors += defaults(below, here, root=False)
    return errors


def expressions(schema: Json, path: str) -> Errors:
    """What can be told of rules without their types."""
    errors: Errors = []
    for at, rule in enumerate(schema.get(validations.VALIDATIONS) or ()):
        errors += _texts(schema, rule, f"{path}.{validations.VALIDATIONS}[{at}]")
    for _, below, here in _below(schema, path):
        errors += expressions(below, here)
    return errors


def programs(schema: Json, path: str, *, priced: bool) -> Errors:
    """Whether rules compile and what they cost: together, and where they are `priced`, each by
    itself. Only asked once everything else is right.
    """
    if not _has_rules(schema):
        return []
    prices = costs.prices(schema, path, _below)
    dear = {one.path: costs.limit(one) for one in prices if priced}
    return _programs(schema, path, dear, root=True, uncorrelatable="") + costs.total(prices, path)


def _has_rules(schema: Json) -> bool:
    return bool(schema.get(validations.VALIDATIONS)) or any(
        _has_rules(part) for _, part, _ in _below(schema, "")
    )


def _below(schema: Json, path: str) -> list[tuple[str, Json, str]]:
    """(part, schema, path) of everything one level down."""
    found = [
        ("properties", below, f"{path}.properties[{name}]")
        for name, below in sorted((schema.get("properties") or {}).items())
    ]
    single = [part for part in ("additionalProperties", "items") if _is_schema(schema, part)]
    return found + [(part, schema[part], f"{path}.{part}") for part in single]


def _is_schema(schema: Json, part: str) -> bool:
    return isinstance(schema.get(part), dict)


def _default(schema: Json, path: str, *, root: bool) -> Errors:
    """Each sort of mistake only where there is none of the sorts before it."""
    value = schema["default"]
    errors: Errors = []
    if isinstance(value, dict) and prune(value, schema)[1]:
        errors += rules.invalid(path, value, "must not have unknown fields")
    whole = schema | {EMBEDDED: True} if root else schema
    found = embedded.validate(value, whole, path)
    if not found:
        found = [_at(error, path, ".") for error in checks.validate(value, _lenient(schema))]
    if not found:
        found = [_at(error, path) for error in validations.of_default(value, schema, root=root)]
    return errors + found


def _lenient(schema: Json) -> Json:
    """Upstream takes any default for a field that is an integer or a string."""
    return {} if schema.get(INT_OR_STRING) else schema


def _at(error: FieldError, path: str, dot: str = "") -> FieldError:
    """The same complaint, below a path."""
    below = "" if error.path == checks.NOWHERE else error.path
    dot = "." if below and below[0] != "[" else dot
    return FieldError(error.type, f"{path}{dot if below else ''}{below}", error.value, error.detail)


def _texts(schema: Json, rule: Json, path: str) -> Errors:
    text, message = rule.get("rule", ""), rule.get("message", "")
    errors: Errors = []
    if not text.strip():
        errors += rules.required(f"{path}.rule", "rule is not specified")
    elif message and not message.strip():
        errors += rules.invalid(f"{path}.message", message, "must be non-empty if specified")
    elif _NEWLINES.search(message.strip()):
        errors += rules.invalid(f"{path}.message", message, "must not contain line breaks")
    elif _NEWLINES.search(text.strip()) and not message.strip():
        says = "message must be specified if rule contains line breaks"
        errors += rules.required(f"{path}.message", says)
    written, below = rule.get("messageExpression", ""), rule.get("fieldPath", "")
    if written and not written.strip():
        says = "messageExpression must be non-empty if specified"
        errors += rules.required(f"{path}.messageExpression", says)
    reason = rule.get("reason")
    errors += rules.one_of(f"{path}.reason", reason, _REASONS, needed=False)
    if below and not below.strip():
        errors += rules.invalid(f"{path}.fieldPath", below, "must be non-empty if specified")
    if _NEWLINES.search(below):
        errors += rules.invalid(f"{path}.fieldPath", below, "must not contain line breaks")
    if below and leads_to(schema, below) is None:
        errors += rules.invalid(f"{path}.fieldPath", below, "must be a valid path")
    return errors


def leads_to(schema: Json, path: str) -> Json | None:
    """The schema behind `.spec.name` or `.spec['a-b']`; None where there is none."""
    found: Json | None = schema
    steps = _STEP.findall(path)
    if not steps or "".join(whole for whole, *_ in steps) != path:
        return None
    for _, plain, quoted in steps:
        name = plain or quoted
        if found is None:
            return None
        others = found.get("additionalProperties")
        further = others if isinstance(others, dict) and quoted else None
        found = (found.get("properties") or {}).get(name, further)
    return found


def _programs(
    schema: Json, path: str, dear: Mapping[str, Errors], *, root: bool, uncorrelatable: str
) -> Errors:
    """What is below comes first, as upstream meets it; `dear` are the complaints about the price of
    each rule.
    """
    errors: Errors = []
    for part, below, here in _below(schema, path):
        broken = part == "items" and schema.get("x-kubernetes-list-type") != "map"
        atomic = part == "properties" and schema.get("x-kubernetes-map-type") == "atomic"
        where = uncorrelatable or (path if broken or atomic else "")
        errors += _programs(below, here, dear, root=False, uncorrelatable=where)
    for at, rule in enumerate(schema.get(validations.VALIDATIONS) or ()):
        here = f"{path}.{validations.VALIDATIONS}[{at}]"
        faults = _rule(schema, rule, here, root=root)
        for part in ("rule", "messageExpression"):
            where = f"{here}.{part}"
            errors += dear.get(where, [])
            errors += [fault for fault in faults if fault.path == where]
        broken = any(error.path == f"{here}.rule" for error in faults)
        transition = validations.is_transition(rule["rule"]) and not broken
        if transition and uncorrelatable:
            says = "oldSelf cannot be used on the uncorrelatable portion of the schema within "
            errors += rules.invalid(f"{here}.rule", rule["rule"], says + uncorrelatable)
        elif not transition and rule.get("optionalOldSelf"):
            says = "may not be set if oldSelf is not used in rule"
            errors += rules.invalid(f"{here}.optionalOldSelf", True, says)
    return errors


def _rule(schema: Json, rule: Json, path: str, *, root: bool) -> Errors:
    names = validations.variables(schema, rule, root=root)
    errors = _compiles(f"{path}.rule", rule["rule"], names, types.BOOL, rule)
    written = rule.get("messageExpression")
    if written and not errors:
        errors += _compiles(f"{path}.messageExpression", written, names, types.STRING, rule)
    return errors


def _compiles(
    path: str, text: str, names: dict[str, types.Kind], wanted: types.Kind, rule: Json
) -> Errors:
    value = gotext.rule(rule)
    try:
        compiled = program.compile_expression(text, names)
    except program.CompileError as error:
        lead = "" if wanted is types.BOOL else "messageExpression "
        return rules.invalid(path, value, f"{lead}compilation failed: {error}")
    if not program.expects(compiled, wanted):
        says = "messageExpression must evaluate to a string"
        says = "cel expression must evaluate to a bool" if wanted is types.BOOL else says
        return rules.invalid(path, value, says)
    return []
