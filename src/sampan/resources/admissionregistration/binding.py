"""Bindings of admission policies: where a policy holds, with which parameters, to what end."""

from __future__ import annotations

from sampan.api import kinds, names, selectors
from sampan.api.meta import Json
from sampan.api.resource import Resource
from sampan.resources import cells, rules
from sampan.resources.admissionregistration import matching
from sampan.resources.rules import Errors

_ACTIONS = ["Audit", "Deny", "Warn"]


def defaults(obj: Json) -> None:
    matching.default_constraints(obj.setdefault("spec", {}).get("matchResources"))


def validating(new: Json, old: Json | None, subresource: str) -> Errors:
    spec = new.get("spec") or {}
    errors = _common(spec)
    actions, path = spec.get("validationActions") or (), "spec.validationActions"
    if not actions:
        return errors + rules.required(path, "at least one validation action is required")
    for at, action in enumerate(actions):
        if action not in _ACTIONS:
            errors += rules.not_supported(f"{path}[{at}]", action, _ACTIONS)
        if action in actions[:at]:
            errors += rules.duplicate(f"{path}[{at}]", action)
    if "Deny" in actions and "Warn" in actions:
        says = (
            "must not contain both Deny and Warn (repeating the same validation failure "
            "information in the API response and headers serves no purpose)"
        )
        errors += rules.invalid(path, list(actions), says)
    return errors


def mutating(new: Json, old: Json | None, subresource: str) -> Errors:
    return _common(new.get("spec") or {})


def _common(spec: Json) -> Errors:
    name = spec.get("policyName")
    errors = rules.named("spec.policyName", name, names.dns1123_subdomain)
    reference = spec.get("paramRef")
    if reference is not None:
        errors += _reference("spec.paramRef", reference)
    if spec.get("matchResources") is not None:
        errors += matching.constraints("spec.matchResources", spec["matchResources"])
    return errors


def _reference(path: str, reference: Json) -> Errors:
    name, selector = reference.get("name"), reference.get("selector")
    errors: Errors = []
    both = bool(name) and selector is not None
    says = "name and selector are mutually exclusive"
    if name:
        errors += rules.each(f"{path}.name", name, names.path_segment(name))
    if both:
        errors += rules.forbidden(f"{path}.name", says)
    errors += rules.label_selector(f"{path}.selector", selector)
    if both:
        errors += rules.forbidden(f"{path}.selector", says)
    if not name and selector is None:
        errors += rules.required(path, "one of name or selector must be specified")
    action = reference.get("parameterNotFoundAction")
    return errors + rules.one_of(f"{path}.parameterNotFoundAction", action, ["Deny", "Allow"])


def _param_cell(obj: Json) -> str:
    reference = (obj.get("spec") or {}).get("paramRef")
    if reference is None:
        return cells.UNSET
    if not reference.get("name"):
        return selectors.shown(reference.get("selector"))
    namespace = reference.get("namespace") or "*"
    return f"{namespace}/{reference['name']}"


_COLUMNS = (
    cells.NAME,
    cells.column("PolicyName", cells.field("spec", "policyName")),
    cells.column("ParamRef", _param_cell),
    cells.AGE,
)

VALIDATINGADMISSIONPOLICYBINDING = Resource(
    id=kinds.VALIDATINGADMISSIONPOLICYBINDINGS,
    schema="io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicyBinding",
    free_finalizers=True,
    singular="validatingadmissionpolicybinding",
    metadata_checks="whole",
    categories=("api-extensions",),
    defaults=defaults,
    validate=validating,
    columns=_COLUMNS,
    unconditional_update=False,
)

MUTATINGADMISSIONPOLICYBINDING = Resource(
    id=kinds.MUTATINGADMISSIONPOLICYBINDINGS,
    schema="io.k8s.api.admissionregistration.v1.MutatingAdmissionPolicyBinding",
    free_finalizers=True,
    singular="mutatingadmissionpolicybinding",
    metadata_checks="whole",
    categories=("api-extensions",),
    defaults=defaults,
    validate=mutating,
    columns=_COLUMNS,
    unconditional_update=False,
)
