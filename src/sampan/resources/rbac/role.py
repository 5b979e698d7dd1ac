"""Role: what may be done within one namespace."""

from __future__ import annotations

from sampan.api import kinds, names
from sampan.api.meta import Json
from sampan.api.resource import Resource
from sampan.resources import cells, rules
from sampan.resources.rbac import rule
from sampan.resources.rules import Errors


def validate(new: Json, old: Json | None, subresource: str) -> Errors:
    errors = rule.policy_rules(new, namespaced=True)
    return errors if old is None else [*errors, rules.METADATA]


ROLE = Resource(
    id=kinds.ROLES,
    schema="io.k8s.api.rbac.v1.Role",
    singular="role",
    metadata_checks="reversed",
    defaults=rule.defaults,
    validate=validate,
    columns=(cells.NAME, cells.CREATED_AT),
    generation=False,
    create_on_update=True,
    name_rule=names.name_is_path_segment,
)
