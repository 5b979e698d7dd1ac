"""What a structural schema says beyond its structure: defaults that fit, rules that compile."""

from __future__ import annotations

from sampan.api.errors import FieldError
from sampan.api.meta import Json
from sampan.resources import regex, rules
from sampan.resources.apiextensions import gotext
from sampan.resources.cel import program, types
from sampan.resources.custom import checks, validations
from sampan.resources.custom.prune import prune
from sampan.resources.rules import Errors

_REASONS = [
    "FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired",
]  # fmt: skip


def validate(schema: Json, path: str) -> Errors:
    """Rules are only looked at once the rest is right: they would complain of the same."""
    errors = _patterns(schema, path) + _defaults(schema, path)
    return errors or _rules(schema, path, root=True, correlatable=True)


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


def _patterns(schema: Json, path: str) -> Errors:
    errors: Errors = []
    pattern = schema.get("pattern")
    if pattern:
        try:
            regex.compiled(pattern)
        except regex.RegexError as error:
            says = f"must be a valid regular expression, but isn't: {error}"
            errors += rules.invalid(f"{path}.pattern", pattern, says)
    for _, below, here in _below(schema, path):
        errors += _patterns(below, here)
    return errors


def _defaults(schema: Json, path: str) -> Errors:
    errors: Errors = []
    if "default" in schema:
        errors += _default(schema, f"{path}.default")
    for _, below, here in _below(schema, path):
        errors += _defaults(below, here)
    return errors


def _default(schema: Json, path: str) -> Errors:
    value = schema["default"]
    errors = checks.validate(value, schema)
    if errors:
        return [_at(error, path) for error in errors]
    if isinstance(value, dict) and prune(value, schema)[1]:
        return rules.invalid(path, value, "must not have unknown fields")
    return []


def _at(error: FieldError, path: str) -> FieldError:
    """The same complaint, below a path."""
    below = f".{error.path}" if error.path else ""
    return FieldError(error.type, f"{path}{below}", error.value, error.detail)


def _rules(schema: Json, path: str, *, root: bool, correlatable: bool) -> Errors:
    errors: Errors = []
    for at, rule in enumerate(schema.get(validations.VALIDATIONS) or ()):
        here = f"{path}.{validations.VALIDATIONS}[{at}]"
        errors += _rule(schema, rule, here, root=root)
        if validations.is_transition(rule.get("rule", "")) and not correlatable:
            says = (
                f"oldSelf cannot be used on the uncorrelatable portion of the schema within {path}"
            )
            errors += rules.invalid(f"{here}.rule", gotext.rule(rule), says)
    for part, below, here in _below(schema, path):
        still = correlatable and (part != "items" or schema.get("x-kubernetes-list-type") == "map")
        errors += _rules(below, here, root=False, correlatable=still)
    return errors


def _rule(schema: Json, rule: Json, path: str, *, root: bool) -> Errors:
    text, message = rule.get("rule", ""), rule.get("message", "")
    if not text.strip():
        return rules.required(f"{path}.rule", "rule is not specified")
    errors: Errors = []
    if message and not message.strip():
        says = "message must be non-empty if specified"
        errors += rules.invalid(f"{path}.message", message, says)
    elif "\n" in message.strip():
        says = "message must not contain line breaks"
        errors += rules.invalid(f"{path}.message", message, says)
    elif "\n" in text.strip() and not message:
        says = "message must be specified if rule contains line breaks"
        errors += rules.required(f"{path}.message", says)
    reason = rule.get("reason")
    errors += rules.one_of(f"{path}.reason", reason, _REASONS, needed=False)
    names = validations.variables(schema, rule, root=root)
    errors += _compiles(f"{path}.rule", text, names, types.BOOL, rule)
    written = rule.get("messageExpression")
    if written:
        errors += _compiles(f"{path}.messageExpression", written, names, types.STRING, rule)
    return errors


def _compiles(
    path: str, text: str, names: dict[str, types.Kind], wanted: types.Kind, rule: Json
) -> Errors:
    value = gotext.rule(rule)
    try:
        compiled = program.compile_expression(text, names)
    except program.CompileError as error:
        return rules.invalid(path, value, f"compilation failed: {error}")
    if not program.expects(compiled, wanted):
        what = "a bool" if wanted is types.BOOL else "a string"
        return rules.invalid(path, value, f"cel expression must evaluate to {what}")
    return []
