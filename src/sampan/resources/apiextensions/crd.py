"""CustomResourceDefinition: a kind that a user brings.

This file is the definition itself; what it makes of objects is in `resources/custom`.
"""

from __future__ import annotations

from sampan.api import kinds
from sampan.api.meta import Json
from sampan.api.resource import Resource, Subresource
from sampan.resources import cells, rules
from sampan.resources.apiextensions import spec as specs
from sampan.resources.custom import formats
from sampan.resources.rules import Errors

APPROVED = "api-approved.kubernetes.io"
FINALIZER = "customresourcecleanup.apiextensions.k8s.io"
_PROTECTED = (".k8s.io", ".kubernetes.io")


def defaults(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    _default_names(spec.setdefault("names", {}))
    conversion = spec.setdefault("conversion", {"strategy": "None"})
    service = ((conversion.get("webhook") or {}).get("clientConfig") or {}).get("service")
    if service is not None:
        service.setdefault("port", 443)


def _default_names(names: Json) -> None:
    kind = names.get("kind")
    if kind and not names.get("singular"):
        names["singular"] = kind.lower()
    if kind and not names.get("listKind"):
        names["listKind"] = f"{kind}List"


def prepare(new: Json, old: Json | None, subresource: str) -> None:
    """The storage version is remembered in status from the start, and every later one."""
    storing = [each["name"] for each in new["spec"].get("versions") or () if each.get("storage")]
    status = new.setdefault("status", {})
    if subresource:
        if not status.get("storedVersions"):
            status["storedVersions"] = storing[:1] or None
        return
    known = status.get("storedVersions") or []
    if old is None:
        status["conditions"] = None
        status["acceptedNames"] = {"plural": "", "kind": ""}
        known = []
    if storing and storing[0] not in known:
        known = [*known, storing[0]]
    status["storedVersions"] = known or None


def validate(new: Json, old: Json | None, subresource: str) -> Errors:
    status = new.get("status") or {}
    if subresource == "status":
        return specs.names_are_names("status.acceptedNames", status.get("acceptedNames") or {})
    spec, meta = new["spec"], new["metadata"]
    names = spec.get("names") or {}
    errors: Errors = []
    wanted = f"{names.get('plural', '')}.{spec.get('group', '')}"
    for field in ("generateName", "name"):
        if old is None and meta.get(field) and meta[field] != wanted:
            says = 'must be spec.names.plural+"."+spec.group'
            errors += rules.invalid(f"metadata.{field}", meta[field], says)
    errors += specs.validate(spec, old["spec"] if old is not None else {})
    if old is not None:
        errors += _unchanged(spec, old)
    errors += _stored(status, spec) + _approval(new, old)
    if spec.get("preserveUnknownFields") and not (old or {"spec": {}})["spec"].get(
        "preserveUnknownFields"
    ):
        says = (
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in "
            "spec.versions[*].schema instead"
        )
        errors += rules.invalid("spec.preserveUnknownFields", True, says)
    return errors


def warnings(new: Json, old: Json | None) -> list[str]:
    """Formats that nobody checks; of an update, those that are new."""
    before = _odd_formats(old) if old else []
    found = [name for name in _odd_formats(new) if name not in before]
    return [f'unrecognized format "{name}"' for name in dict.fromkeys(found)]


def _odd_formats(obj: Json) -> list[str]:
    schemas = [each.get("schema") or {} for each in obj["spec"].get("versions") or ()]
    return [
        name for schema in schemas for name in formats.unknown(schema.get("openAPIV3Schema") or {})
    ]


def _unchanged(spec: Json, old: Json) -> Errors:
    before = old["spec"]
    errors: Errors = []
    if established(old):
        errors += rules.immutable("spec.scope", spec.get("scope"), before.get("scope"))
        kind = (spec.get("names") or {}).get("kind")
        errors += rules.immutable("spec.names.kind", kind, before["names"].get("kind"))
    errors += rules.immutable("spec.group", spec.get("group"), before.get("group"))
    plural = (spec.get("names") or {}).get("plural")
    return errors + rules.immutable("spec.names.plural", plural, before["names"].get("plural"))


def established(obj: Json) -> bool:
    conditions = (obj.get("status") or {}).get("conditions") or ()
    return any(each["type"] == "Established" and each["status"] == "True" for each in conditions)


def _stored(status: Json, spec: Json) -> Errors:
    path, stored = "status.storedVersions", status.get("storedVersions")
    if not stored:
        return rules.invalid(path, stored or None, "must have at least one stored version")
    versions = spec.get("versions") or ()
    storing = [each["name"] for each in versions if each.get("storage")]
    errors: Errors = []
    for at, name in enumerate(stored):
        if name not in [each["name"] for each in versions]:
            says = (
                f"missing from spec.versions; {name} was previously a storage version, and must "
                "remain in spec.versions until a storage migration ensures no data remains "
                f"persisted in {name} and removes {name} from status.storedVersions"
            )
            errors += rules.invalid(f"{path}[{at}]", name, says)
    if storing and storing[-1] not in stored:
        says = f"must have the storage version {storing[-1]}"
        errors += rules.invalid(path, stored, says)
    return errors


def is_protected(group: str) -> bool:
    return group in ("k8s.io", "kubernetes.io") or group.endswith(_PROTECTED)


def approval(obj: Json) -> tuple[str, str]:
    """(missing, bad, bypassed or approved; what the annotation says)."""
    told = (obj["metadata"].get("annotations") or {}).get(APPROVED, "")
    if not told:
        return "missing", told
    if told.startswith("unapproved"):
        return "bypassed", told
    fine = told.startswith(("https://", "http://")) and len(told.partition("://")[2]) > 0
    return ("approved" if fine else "bad"), told


def _approval(new: Json, old: Json | None) -> Errors:
    """Kubernetes' own groups want a review; a definition that never had one may stay so."""
    if not is_protected(new["spec"].get("group", "")):
        return []
    state, told = approval(new)
    if old is not None and approval(old)[0] == state:
        return []
    path = f"metadata.annotations[{APPROVED}]"
    see = "see https://github.com/kubernetes/enhancements/pull/1111"
    says = f'protected groups must have approval annotation "{APPROVED}"'
    if state == "missing":
        return rules.required(path, f"{says}, {see}")
    if state == "bad":
        says = f'{says} with either a URL or a reason starting with "unapproved", {see}'
        return rules.invalid(path, told, says)
    return []


CUSTOMRESOURCEDEFINITION = Resource(
    id=kinds.CUSTOMRESOURCEDEFINITIONS,
    schema="io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition",
    free_finalizers=True,
    singular="customresourcedefinition",
    metadata_checks="changes",
    short=("crd", "crds"),
    categories=("api-extensions",),
    defaults=defaults,
    prepare=prepare,
    validate=validate,
    warnings=warnings,
    columns=(cells.NAME, cells.CREATED_AT),
    subresources=(Subresource("status", kinds.CUSTOMRESOURCEDEFINITIONS),),
    unconditional_update=False,
)
