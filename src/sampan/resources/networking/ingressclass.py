"""IngressClass: which controller serves an Ingress, and with which parameters."""

from __future__ import annotations

from sampan.api import kinds, names
from sampan.api.meta import Json
from sampan.api.resource import Resource
from sampan.resources import cells, rules
from sampan.resources.networking import reference
from sampan.resources.rules import Errors

CONTROLLER_LIMIT = 250


def defaults(obj: Json) -> None:
    parameters = obj.setdefault("spec", {}).get("parameters")
    if parameters is not None and parameters.get("scope") is None:
        parameters["scope"] = "Cluster"


def validate(new: Json, old: Json | None, subresource: str) -> Errors:
    spec, errors = new.get("spec") or {}, rules.none()
    controller = spec.get("controller", "")
    if old is not None:
        before = (old.get("spec") or {}).get("controller", "")
        errors += [*rules.immutable("spec.controller", controller, before), rules.METADATA]
    if len(controller) > CONTROLLER_LIMIT:
        errors += rules.too_long("spec.controller", CONTROLLER_LIMIT)
    errors += rules.domain_prefixed_path("spec.controller", controller)
    if spec.get("parameters") is not None:
        errors += _parameters("spec.parameters", spec["parameters"])
    return errors


def _parameters(path: str, parameters: Json) -> Errors:
    errors = reference.typed_local(path, parameters)
    scope, namespace = parameters.get("scope"), parameters.get("namespace")
    if scope is None:
        return errors + rules.required(f"{path}.scope")
    if scope not in ("Cluster", "Namespace"):
        return errors + rules.not_supported(f"{path}.scope", scope, ["Cluster", "Namespace"])
    at = f"{path}.namespace"
    if scope == "Cluster" and namespace is not None:
        errors += rules.forbidden(at, "`parameters.scope` is set to 'Cluster'")
    if scope == "Namespace" and namespace is None:
        errors += rules.required(at, "`parameters.scope` is set to 'Namespace'")
    if scope == "Namespace" and namespace is not None:
        errors += rules.each(at, namespace, names.dns1123_label(namespace))
    return errors


def _parameters_cell(obj: Json) -> str:
    parameters = obj["spec"].get("parameters")
    if parameters is None:
        return cells.NONE
    group = f".{parameters['apiGroup']}" if parameters.get("apiGroup") is not None else ""
    return f"{parameters.get('kind', '')}{group}/{parameters.get('name', '')}"


INGRESSCLASS = Resource(
    id=kinds.INGRESSCLASSES,
    schema="io.k8s.api.networking.v1.IngressClass",
    singular="ingressclass",
    defaults=defaults,
    validate=validate,
    columns=(
        cells.NAME,
        cells.column("Controller", cells.field("spec", "controller")),
        cells.column("Parameters", _parameters_cell),
        cells.AGE,
    ),
)
