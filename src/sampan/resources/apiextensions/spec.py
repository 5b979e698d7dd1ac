"""The spec of a definition: group, names, versions, subresources, columns, conversion."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from sampan.api import names
from sampan.api.meta import Json
from sampan.resources import rules
from sampan.resources.admissionregistration import webhook
from sampan.resources.apiextensions import allowed, content, gotext, structural
from sampan.resources.rules import Errors

_COLUMN_TYPES = ["boolean", "date", "integer", "number", "string"]
_COLUMN_FORMATS = [
    "byte", "date", "date-time", "double", "float", "int32", "int64", "password",
]  # fmt: skip
MAX_SELECTABLE = 8


def validate(spec: Json, before: Json) -> Errors:
    """`before` is the spec that an update replaces: rules of a schema that stays as it is may cost
    what they cost.
    """
    versions = spec.get("versions") or []
    same = _unchanged_schemas(versions, before.get("versions") or ())
    errors = _group(spec.get("group", ""))
    errors += rules.one_of("spec.scope", spec.get("scope"), ["Cluster", "Namespaced"])
    errors += _versions(spec, versions, same)
    of_kind = spec.get("names") or {}
    errors += _required_names(of_kind) + names_are_names("spec.names", of_kind)
    for field, check in _PARTS.items():
        if versions and _shared(versions, field) and versions[0].get(field) is not None:
            kept = versions[0].get("name") in same
            errors += check(versions[0][field], f"spec.{_TOP.get(field, field)}", kept)
    errors += _selectable(versions)
    if spec.get("conversion") is not None:
        errors += _conversion(spec["conversion"])
    return errors


def _shared(versions: Sequence[Json], field: str) -> bool:
    """Upstream keeps what all versions have in common once, and complains of it there."""
    return len({json.dumps(each.get(field), sort_keys=True) for each in versions}) <= 1


def _group(group: str) -> Errors:
    if not group:
        return rules.required("spec.group")
    faults = names.dns1123_subdomain(group)
    if faults:
        return rules.invalid("spec.group", group, ",".join(faults))
    if "." not in group:
        return rules.invalid("spec.group", group, "should be a domain with at least one dot")
    return []


def _label(path: str, value: str) -> Errors:
    faults = names.dns1035_label(value)
    return rules.invalid(path, value, ",".join(faults)) if faults else []


def _unchanged_schemas(versions: Sequence[Json], before: Sequence[Json]) -> frozenset[str]:
    """The versions whose schema is what it was."""
    old = {each.get("name"): each.get("schema") for each in before}
    return frozenset(
        each["name"]
        for each in versions
        if each.get("name") in old and each.get("schema") == old[each["name"]]
    )


def _versions(spec: Json, versions: list[Json], same: frozenset[str]) -> Errors:
    errors: Errors = []
    for at, version in enumerate(versions):
        if (version.get("schema") or {}).get("openAPIV3Schema") is None:
            errors += rules.required(f"spec.versions[{at}].schema.openAPIV3Schema")
    for at, version in enumerate(versions):
        path = f"spec.versions[{at}]"
        errors += _label(f"{path}.name", version.get("name", ""))
        if version.get("deprecationWarning") is not None:
            errors += _deprecation(path, version)
        for field, check in _PARTS.items():
            if not _shared(versions, field) and version.get(field) is not None:
                kept = version.get("name") in same
                errors += check(version[field], f"{path}.{field}", kept)
    found = [version.get("name", "") for version in versions]
    shown = gotext.versions(versions, shared=_shared(versions, "schema"))
    if len(set(found)) != len(found):
        errors += rules.invalid("spec.versions", shown, "must contain unique version names")
    if sum(1 for version in versions if version.get("storage")) != 1:
        says = "must have exactly one version marked as storage version"
        errors += rules.invalid("spec.versions", shown, says)
    if found and found[0]:
        errors += _label("spec.version", found[0])
    return errors


def _deprecation(path: str, version: Json) -> Errors:
    text, where = version["deprecationWarning"], f"{path}.deprecationWarning"
    if not version.get("deprecated"):
        return rules.invalid(where, text, "can only be set for deprecated versions")
    faults = []
    if len(text.encode()) > 256:
        faults.append("must be <= 256 characters long")
    if not text:
        faults.append("must not be an empty string")
    at = next((at for at, char in enumerate(text) if not char.isprintable()), None)
    if at is not None:
        says = (
            f"must only contain printable UTF-8 characters; non-printable character found at {at}"
        )
        faults.append(says.replace("found at ", "found at index "))
    return rules.each(where, text, faults)


def _schema(value: Json, path: str, kept: bool) -> Errors:
    schema, where = value.get("openAPIV3Schema"), f"{path}.openAPIV3Schema"
    if schema is None:
        return []
    errors: Errors = []
    if not allowed.unsupported(schema):
        errors = structural.validate(schema, where) or content.defaults(schema, where)
    sound = not errors
    errors += allowed.validate(schema, where) + content.expressions(schema, where)
    return errors or (content.programs(schema, where, priced=not kept) if sound else [])


def _subresources(value: Json, path: str, _kept: bool) -> Errors:
    scale = value.get("scale")
    if scale is None:
        return []
    errors: Errors = []
    for field, below, needed in (
        ("specReplicasPath", "spec", True),
        ("statusReplicasPath", "status", True),
        ("labelSelectorPath", "", False),
    ):
        text, where = scale.get(field), f"{path}.scale.{field}"
        if not text:
            errors += rules.required(where) if needed else []
            continue
        faults = _simple_path(where, text)
        if not faults and not text.startswith(f".{below}." if below else (".spec.", ".status.")):
            under = f".{below}" if below else "either .spec or .status"
            faults = rules.invalid(where, text, f"should be a json path under {under}")
        errors += faults
    return errors


def _simple_path(path: str, text: str) -> Errors:
    if not text.startswith("."):
        return rules.invalid(path, text, "must be a simple json path starting with .")
    return []


def _columns(value: Sequence[Json], path: str, _kept: bool) -> Errors:
    errors: Errors = []
    for at, column in enumerate(value):
        here = f"{path}[{at}]"
        errors += [] if column.get("name") else rules.required(f"{here}.name")
        kind, form = column.get("type", ""), column.get("format")
        listed = ",".join(_COLUMN_TYPES)
        if not kind:
            errors += rules.required(f"{here}.type", f"must be one of {listed}")
        elif kind not in _COLUMN_TYPES:
            errors += rules.invalid(f"{here}.type", kind, f"must be one of {listed}")
        if form and form not in _COLUMN_FORMATS:
            says = f"must be one of {','.join(_COLUMN_FORMATS)}"
            errors += rules.invalid(f"{here}.format", form, says)
        text = column.get("jsonPath", "")
        errors += (
            _simple_path(f"{here}.JSONPath", text) if text else rules.required(f"{here}.JSONPath")
        )
    return errors


def _selectable(versions: list[Json]) -> Errors:
    """Field selectors: plain fields of the schema, and not too many."""
    shared = _shared(versions, "selectableFields") and _shared(versions, "schema")
    errors: Errors = []
    for at, version in enumerate(versions[:1] if shared else versions):
        path = "spec.selectableFields" if shared else f"spec.versions[{at}].selectableFields"
        fields = version.get("selectableFields") or ()
        if fields and (version.get("schema") or {}).get("openAPIV3Schema") is None:
            says = "validations.schema is" if shared else "`version.schema.openAPIV3Schema` is not"
            errors += rules.invalid(path, "", f"may only be set when {says} included")
            continue
        schema = (version.get("schema") or {}).get("openAPIV3Schema") or {}
        distinct = {each.get("jsonPath", "") for each in fields}
        for number, each in enumerate(fields):
            before = [other.get("jsonPath") for other in fields[:number]]
            errors += _selected(f"{path}[{number}].jsonPath", each, schema, before)
        if len(distinct) > MAX_SELECTABLE:
            errors += rules.too_many(path, len(distinct), MAX_SELECTABLE)
    return errors


def _selected(path: str, field: Json, schema: Json, before: list[Any]) -> Errors:
    text = field.get("jsonPath", "")
    if not text:
        return rules.required(path)
    if text[0] not in "[.":
        step = re.split(r"[.[]", text)[0]
        return rules.invalid(path, text, f"is an invalid path: expected [ or . but got: {step}")
    if re.search(r"\[\d+\]", text):
        return rules.invalid(path, text, "is an invalid path: array notation is not allowed")
    found = content.leads_to(schema, text)
    if text.startswith(".metadata") and found is not None:
        return rules.invalid(path, text, "must not point to fields in metadata")
    if found is None:
        return rules.invalid(path, text, "is an invalid path: does not refer to a valid field")
    errors: Errors = []
    if found.get("type") not in ("string", "boolean", "integer"):
        says = (
            "must point to a field of type string, boolean or integer. Enum string fields and "
            "strings with formats are allowed."
        )
        errors += rules.invalid(path, text, says)
    return errors + (rules.duplicate(path, text) if text in before else [])


_PARTS: dict[str, Callable[[Any, str, bool], Errors]] = {
    "schema": _schema,
    "subresources": _subresources,
    "additionalPrinterColumns": _columns,
}
_TOP = {"schema": "validation"}
"""What upstream calls the shared part, where that differs."""


def _required_names(value: Json) -> Errors:
    errors: Errors = []
    for field in ("plural", "singular", "kind", "listKind"):
        if not value.get(field):
            errors += rules.required(f"spec.names.{field}")
    return errors


def names_are_names(path: str, value: Json) -> Errors:
    """Those of spec, and those of status that were accepted."""
    errors: Errors = []
    kind, many = value.get("kind") or "", value.get("listKind") or ""
    for field in ("plural", "singular"):
        if value.get(field):
            errors += _label(f"{path}.{field}", value[field])
    errors += _mixed_case(f"{path}.kind", kind) + _mixed_case(f"{path}.listKind", many)
    for at, short in enumerate(value.get("shortNames") or ()):
        errors += _label(f"{path}.shortNames[{at}]", short)
    if kind and kind == many:
        errors += rules.invalid(f"{path}.listKind", many, "kind and listKind may not be the same")
    for at, category in enumerate(value.get("categories") or ()):
        errors += _label(f"{path}.categories[{at}]", category)
    return errors


def _mixed_case(path: str, value: str) -> Errors:
    if not value:
        return []
    faults = names.dns1035_label(value.lower())
    if not faults:
        return []
    says = f"may have mixed case, but should otherwise match: {','.join(faults)}"
    return rules.invalid(path, value, says)


def _conversion(conversion: Json) -> Errors:
    path, strategy = "spec.conversion", conversion.get("strategy")
    errors = rules.one_of(f"{path}.strategy", strategy, ["None", "Webhook"])
    hook = conversion.get("webhook")
    if strategy != "Webhook":
        if (hook or {}).get("clientConfig") is not None:
            says = "should not be set when strategy is not set to Webhook"
            errors += rules.forbidden(f"{path}.webhookClientConfig", says)
        if (hook or {}).get("conversionReviewVersions"):
            says = "should not be set when strategy is not set to Webhook"
            errors += rules.forbidden(f"{path}.conversionReviewVersions", says)
        return errors
    client = (hook or {}).get("clientConfig")
    where = f"{path}.webhookClientConfig"
    if client is None:
        errors += rules.required(where, "required when strategy is set to Webhook")
        return errors + _review_versions(hook or {})
    url, service = client.get("url"), client.get("service")
    if (url is None) == (service is None):
        errors += rules.required(where, "exactly one of url or service is required")
    elif url is not None:
        errors += webhook.webhook_url(f"{where}.url", url)
    else:
        errors += webhook.webhook_service(f"{where}.service", service)
    return errors + _review_versions(hook or {})


def _review_versions(hook: Json) -> Errors:
    path, listed = "spec.conversion.conversionReviewVersions", hook.get("conversionReviewVersions")
    if not listed:
        return rules.required(path)
    errors: Errors = []
    for at, version in enumerate(listed):
        if version in listed[:at]:
            errors += rules.invalid(f"{path}[{at}]", version, "duplicate version")
        else:
            errors += _label(f"{path}[{at}]", version)
    if not set(listed) & {"v1", "v1beta1"}:
        says = "must include at least one of v1, v1beta1"
        errors += rules.invalid(path, listed, says)
    return errors
