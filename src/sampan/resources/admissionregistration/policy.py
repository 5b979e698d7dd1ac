"""Admission policies, validating and mutating: rules in CEL instead of a webhook."""

from __future__ import annotations

from collections.abc import Sequence

from sampan.api import kinds, names
from sampan.api.meta import Json
from sampan.api.resource import METADATA_OF_STATUS, Resource, Subresource
from sampan.resources import cells, rules
from sampan.resources.admissionregistration import expressions, matching
from sampan.resources.admissionregistration.expressions import Known
from sampan.resources.rules import Errors

_REASONS = ["Forbidden", "Invalid", "RequestEntityTooLarge"]
_REINVOCATION = ["IfNeeded", "Never"]
_MUTATED = ["*", "CONNECT", "CREATE", "UPDATE"]
_PATCHES = ["ApplyConfiguration", "JSONPatch"]
MAX_ANNOTATIONS = 20


def defaults(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("failurePolicy", "Fail")
    matching.default_constraints(spec.get("matchConstraints"))


def validating(new: Json, old: Json | None, subresource: str) -> Errors:
    if subresource == "status":
        return []
    spec = new.get("spec") or {}
    variables = spec.get("variables") or ()
    known = _scope(spec, expressions.kinds_of(variables) if variables else None)
    errors = _common(spec)
    listed, notes = spec.get("validations") or (), spec.get("auditAnnotations") or ()
    if not listed and not notes:
        detail = "validations or auditAnnotations must contain at least one item"
        errors += rules.required("spec.validations", detail)
        errors += rules.required("spec.auditAnnotations", detail)
    for at, validation in enumerate(listed):
        errors += _validation(f"spec.validations[{at}]", validation, known)
    return errors + _annotations(new["metadata"].get("name") or "", notes, known)


def _scope(spec: Json, variables: Known | None = None) -> Known:
    parameters = spec.get("paramKind") is not None
    return expressions.scope(with_params=True, variables=variables, parameters=parameters)


def mutating(new: Json, old: Json | None, subresource: str) -> Errors:
    spec = new.get("spec") or {}
    errors = _common(spec, mutates=True)
    listed = spec.get("mutations") or ()
    if not listed:
        errors += rules.required("spec.mutations", "mutations must contain at least one item")
    for at, mutation in enumerate(listed):
        errors += _mutation(f"spec.mutations[{at}]", mutation)
    policy = spec.get("reinvocationPolicy")
    return errors + rules.one_of("spec.reinvocationPolicy", policy, _REINVOCATION)


def _common(spec: Json, *, mutates: bool = False) -> Errors:
    failure = spec.get("failurePolicy")
    errors = rules.choice("spec.failurePolicy", failure, matching.FAILURE_POLICIES)
    if spec.get("paramKind") is not None:
        errors += _param_kind(spec["paramKind"])
    wanted = spec.get("matchConstraints")
    if wanted is None:
        errors += rules.required("spec.matchConstraints")
    else:
        errors += matching.constraints("spec.matchConstraints", wanted)
        if not wanted.get("resourceRules"):
            errors += rules.required("spec.matchConstraints.resourceRules")
        if mutates:
            errors += _mutated_operations(wanted.get("resourceRules") or ())
    conditions = spec.get("matchConditions") or ()
    errors += matching.conditions("spec.matchConditions", conditions, _scope(spec))
    return errors + _variables(spec)


def _mutated_operations(listed: Sequence[Json]) -> Errors:
    """What is deleted cannot be changed any more."""
    path = "spec.matchConstraints.resourceRules.operations"
    operations = [each for rule in listed for each in rule.get("operations") or ()]
    return [
        error
        for operation in operations
        if operation not in _MUTATED
        for error in rules.not_supported(path, operation, _MUTATED)
    ]


def _param_kind(kind: Json) -> Errors:
    path, version = "spec.paramKind", kind.get("apiVersion", "")
    errors: Errors = []
    if not version:
        errors += rules.required(f"{path}.apiVersion")
    elif version.count("/") > 1:
        says = f"unexpected GroupVersion string: {version}"
        errors += rules.invalid(f"{path}.apiVersion", version, says)
    else:
        errors += _group_version(f"{path}.apiVersion", version)
    name = kind.get("kind", "")
    if not name:
        return errors + rules.required(f"{path}.kind")
    faults = names.dns1035_label(name.lower())
    if faults:
        says = f"may have mixed case, but should otherwise match: {','.join(faults)}"
        errors += rules.invalid(f"{path}.kind", name, says)
    return errors


def _group_version(path: str, text: str) -> Errors:
    group, _, version = text.rpartition("/")
    errors: Errors = []
    if group and (faults := names.dns1123_subdomain(group)):
        errors += rules.invalid(path, group, ",".join(faults))
    if not version:
        return errors + rules.invalid(path, text, "version must be specified")
    if faults := names.dns1035_label(version):
        errors += rules.invalid(path, version, ",".join(faults))
    return errors


def _variables(spec: Json) -> Errors:
    errors: Errors = []
    seen: list[Json] = []
    for at, variable in enumerate(spec.get("variables") or ()):
        path, name = f"spec.variables[{at}]", variable.get("name", "")
        text = variable.get("expression", "")
        if not name.strip():
            errors += rules.required(f"{path}.name", "name is not specified")
        elif not name.isidentifier() or not name.isascii():
            errors += rules.invalid(f"{path}.name", name, "must be a valid CEL identifier")
        if not text.strip():
            errors += rules.required(f"{path}.expression", "expression is not specified")
        else:
            faults = expressions.anything(text, _scope(spec, expressions.kinds_of(seen)))
            errors += rules.each(f"{path}.expression", text, faults)
        seen.append(variable)
    return errors


def _validation(path: str, validation: Json, known: Known) -> Errors:
    text, message = validation.get("expression", ""), validation.get("message", "")
    written = validation.get("messageExpression", "")
    errors: Errors = []
    if not text.strip():
        errors += rules.required(f"{path}.expression", "expression is not specified")
    else:
        faults = expressions.boolean(text, known)
        errors += rules.each(f"{path}.expression", text, faults)
    if written and not written.strip():
        says = "must be non-empty if specified"
        errors += rules.invalid(f"{path}.messageExpression", written, says)
    elif written:
        faults = expressions.string(written, known)
        errors += rules.each(f"{path}.messageExpression", written, faults)
    if message and not message.strip():
        says = "must be non-empty if specified"
        errors += rules.invalid(f"{path}.message", message, says)
    elif "\n" in message.strip() or "\r" in message.strip():
        says = "must not contain line breaks"
        errors += rules.invalid(f"{path}.message", message, says)
    reason = validation.get("reason")
    return errors + rules.choice(f"{path}.reason", reason, _REASONS, needed=False)


def _annotations(policy: str, notes: Sequence[Json], known: Known) -> Errors:
    errors: Errors = []
    if len(notes) > MAX_ANNOTATIONS:
        says = f"must not have more than {MAX_ANNOTATIONS} auditAnnotations"
        errors += rules.invalid("spec.auditAnnotations", list(notes), says)
    seen: set[str] = set()
    for at, note in enumerate(notes):
        path, key = f"spec.auditAnnotations[{at}]", note.get("key", "")
        text = note.get("valueExpression", "")
        if policy:  # In the audit log the policy's name stands before the key.
            whole = f"{policy}/{key}"
            errors += rules.each(f"{path}.key", whole, names.qualified_name(whole))
        else:
            errors += rules.invalid(f"{path}.key", key, "requires metadata.name be non-empty")
        if key in seen:
            errors += rules.duplicate(f"{path}.key", key)
        seen.add(key)
        if not text.strip():
            detail = "valueExpression is not specified"
            errors += rules.required(f"{path}.valueExpression", detail)
        else:
            faults = expressions.string_or_null(text, known)
            errors += rules.each(f"{path}.valueExpression", text, faults)
    return errors


def _mutation(path: str, mutation: Json) -> Errors:
    kind = mutation.get("patchType", "")
    errors = rules.one_of(f"{path}.patchType", kind, _PATCHES)
    if errors:
        return errors
    fields = {"ApplyConfiguration": "applyConfiguration", "JSONPatch": "jsonPatch"}
    for patch, field in sorted(fields.items(), key=lambda each: each[0] != kind):
        given = mutation.get(field)
        here = f"{path}.{field}"
        if patch == kind and given is None:
            errors += rules.required(here, f"must be specified when patchType is {kind}")
        elif patch != kind and given is not None:
            says = f"must not be specified when patchType is {kind}"
            errors += rules.invalid(here, f"{{{field}}}", says)
        elif given is not None and not given.get("expression", "").strip():
            errors += rules.required(f"{here}.expression")
    return errors


def _param_cell(obj: Json) -> str:
    kind = (obj.get("spec") or {}).get("paramKind")
    return f"{kind.get('apiVersion', '')}/{kind.get('kind', '')}" if kind else cells.UNSET


def _count(field: str) -> cells.Value:
    return lambda obj: len((obj.get("spec") or {}).get(field) or ())


VALIDATINGADMISSIONPOLICY = Resource(
    id=kinds.VALIDATINGADMISSIONPOLICIES,
    schema="io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicy",
    free_finalizers=True,
    singular="validatingadmissionpolicy",
    metadata_checks="whole",
    status_keeps=METADATA_OF_STATUS,
    categories=("api-extensions",),
    defaults=defaults,
    validate=validating,
    columns=(
        cells.NAME,
        cells.column("Validations", _count("validations"), type="integer"),
        cells.column("ParamKind", _param_cell),
        cells.AGE,
    ),
    subresources=(Subresource("status", kinds.VALIDATINGADMISSIONPOLICIES),),
    unconditional_update=False,
)

MUTATINGADMISSIONPOLICY = Resource(
    id=kinds.MUTATINGADMISSIONPOLICIES,
    schema="io.k8s.api.admissionregistration.v1.MutatingAdmissionPolicy",
    free_finalizers=True,
    singular="mutatingadmissionpolicy",
    metadata_checks="whole",
    categories=("api-extensions",),
    defaults=defaults,
    validate=mutating,
    columns=(
        cells.NAME,
        cells.column("Mutations", _count("mutations"), type="integer"),
        cells.column("ParamKind", _param_cell),
        cells.AGE,
    ),
    unconditional_update=False,
)
