"""RoleBinding and ClusterRoleBinding: who has a role. They differ in scope and in what they may
refer to, so both are made here.
"""

from __future__ import annotations

from collections.abc import Sequence

from sampan.api import kinds, names
from sampan.api.meta import Json
from sampan.api.resource import Column, Resource
from sampan.resources import cells, rules
from sampan.resources.rbac.rule import GROUP
from sampan.resources.rules import Errors


def defaults(obj: Json) -> None:
    reference = obj.setdefault("roleRef", {})
    if not reference.get("apiGroup"):
        reference["apiGroup"] = GROUP
    if not obj.get("subjects"):
        obj.pop("subjects", None)
    for subject in obj.get("subjects") or ():
        if subject.get("kind") in ("User", "Group") and not subject.get("apiGroup"):
            subject["apiGroup"] = GROUP


def validate_namespaced(new: Json, old: Json | None, subresource: str) -> Errors:
    return _validate(new, old, ["Role", "ClusterRole"], namespaced=True)


def validate_cluster(new: Json, old: Json | None, subresource: str) -> Errors:
    return _validate(new, old, ["ClusterRole"], namespaced=False)


def _validate(new: Json, old: Json | None, may_name: Sequence[str], *, namespaced: bool) -> Errors:
    reference = new.get("roleRef") or {}
    group, kind = reference.get("apiGroup", ""), reference.get("kind", "")
    name = reference.get("name", "")
    errors: Errors = []
    if group != GROUP:
        errors += rules.not_supported("roleRef.apiGroup", group, [GROUP])
    if kind not in may_name:
        errors += rules.not_supported("roleRef.kind", kind, may_name)
    errors += rules.named("roleRef.name", name, names.path_segment)
    for at, subject in enumerate(new.get("subjects") or ()):
        errors += _subject(f"subjects[{at}]", subject, namespaced)
    if old is not None:
        errors.append(rules.METADATA)
    if old is not None and reference != old.get("roleRef"):
        value = {"APIGroup": group, "Kind": kind, "Name": name}
        errors += rules.invalid("roleRef", value, "cannot change roleRef")
    return errors


def _subject(path: str, subject: Json, namespaced: bool) -> Errors:
    name, group, kind = (subject.get(field, "") for field in ("name", "apiGroup", "kind"))
    errors = [] if name else rules.required(f"{path}.name")
    if kind == "ServiceAccount":
        if name:
            errors += rules.each(f"{path}.name", name, names.dns1123_subdomain(name))
        if group:
            errors += rules.not_supported(f"{path}.apiGroup", group, [""])
        if not namespaced and not subject.get("namespace"):
            errors += rules.required(f"{path}.namespace")
    elif kind in ("User", "Group"):
        if group != GROUP:
            errors += rules.not_supported(f"{path}.apiGroup", group, [GROUP])
    else:
        choices = ["ServiceAccount", "User", "Group"]
        errors += rules.not_supported(f"{path}.kind", kind, choices)
    return errors


def _role(obj: Json) -> str:
    return f"{obj['roleRef']['kind']}/{obj['roleRef']['name']}"


def _subjects(kind: str) -> Column:
    """The subjects of one kind, for the wide table."""

    def cell(obj: Json) -> str:
        found = [each for each in obj.get("subjects") or () if each.get("kind") == kind]
        if kind != "ServiceAccount":
            return ", ".join(each["name"] for each in found)
        return ", ".join(f"{each.get('namespace', '')}/{each['name']}" for each in found)

    return cells.column(f"{kind}s", cell, priority=1)


_COLUMNS = (
    cells.NAME,
    cells.column("Role", _role),
    cells.AGE,
    _subjects("User"),
    _subjects("Group"),
    _subjects("ServiceAccount"),
)

ROLEBINDING = Resource(
    id=kinds.ROLEBINDINGS,
    schema="io.k8s.api.rbac.v1.RoleBinding",
    singular="rolebinding",
    metadata_checks="reversed",
    defaults=defaults,
    validate=validate_namespaced,
    columns=_COLUMNS,
    generation=False,
    create_on_update=True,
    name_rule=names.name_is_path_segment,
)

CLUSTERROLEBINDING = Resource(
    id=kinds.CLUSTERROLEBINDINGS,
    schema="io.k8s.api.rbac.v1.ClusterRoleBinding",
    singular="clusterrolebinding",
    metadata_checks="reversed",
    defaults=defaults,
    validate=validate_cluster,
    columns=_COLUMNS,
    generation=False,
    create_on_update=True,
    name_rule=names.name_is_path_segment,
)
