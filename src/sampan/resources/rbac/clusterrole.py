"""ClusterRole: what may be done anywhere, or a sum of other ClusterRoles chosen by label."""

from __future__ import annotations

from sampan.api import kinds, names
from sampan.api.meta import Json
from sampan.api.resource import Resource
from sampan.resources import cells, rules
from sampan.resources.rbac import rule
from sampan.resources.rules import Errors


def validate(new: Json, old: Json | None, subresource: str) -> Errors:
    errors = rule.policy_rules(new, namespaced=False)
    aggregation = new.get("aggregationRule")
    if aggregation is not None:
        errors += _aggregation(aggregation)
    return errors if old is None else [*errors, rules.METADATA]


def _aggregation(aggregation: Json) -> Errors:
    errors: Errors = []
    path, selectors = (
        "aggregationRule.clusterRoleSelectors",
        aggregation.get("clusterRoleSelectors"),
    )
    if not selectors:
        detail = "at least one clusterRoleSelector required if aggregationRule is non-nil"
        errors += rules.required(path, detail)
    for at, selector in enumerate(selectors or ()):
        faults = rules.label_selector(f"{path}[{at}]", selector)
        if faults:
            faults += rules.invalid(f"{path}[{at}]", None, "invalid label selector.")
        errors += faults
    return errors


CLUSTERROLE = Resource(
    id=kinds.CLUSTERROLES,
    schema="io.k8s.api.rbac.v1.ClusterRole",
    singular="clusterrole",
    metadata_checks="reversed",
    defaults=rule.defaults,
    validate=validate,
    columns=(cells.NAME, cells.CREATED_AT),
    generation=False,
    create_on_update=True,
    name_rule=names.name_is_path_segment,
)
